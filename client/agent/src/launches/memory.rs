//! Room for images in the agent's memory: one is held whole while it is planned and staged, and a node has many devices.
//!
//! **Invariant:** no more of images is held at once than there is room for, but for one that alone takes all of it; who came first goes first.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is counted: MiB.
const UNIT: u64 = 1 << 20;

/// All the room.
#[derive(Debug)]
pub(crate) struct Memory {
    room: Arc<Semaphore>,
    all: u32,
}

/// Some of it, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    _permit: Option<OwnedSemaphorePermit>,
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

impl Memory {
    /// Room for so many bytes.
    pub(crate) fn new(bytes: u64) -> Self {
        let all = units(bytes).max(1);
        let most = usize::try_from(all).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            room: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            all,
        }
    }

    fn share(&self, bytes: u64) -> u32 {
        units(bytes).clamp(1, self.all)
    }

    /// Takes room for so many bytes if it is there.
    pub(crate) fn try_hold(&self, bytes: u64) -> Option<Held> {
        let room = Arc::clone(&self.room);
        let permit = room.try_acquire_many_owned(self.share(bytes)).ok()?;
        Some(Held {
            _permit: Some(permit),
        })
    }

    /// Waits for it.
    pub(crate) async fn hold(&self, bytes: u64) -> Held {
        let room = Arc::clone(&self.room);
        // Nobody closes it.
        let permit = room.acquire_many_owned(self.share(bytes)).await.ok();
        Held { _permit: permit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_does_not_fit_beside_the_others_waits_and_whoever_is_larger_goes_alone() {
        let memory = Memory::new(3 * UNIT);
        let [first, second] = [2 * UNIT, UNIT].map(|it| memory.try_hold(it).unwrap());
        assert!(memory.try_hold(1).is_none());
        drop(first);
        let larger = memory.hold(100 * UNIT);
        drop(second);
        let larger = larger.await;
        assert!(memory.try_hold(1).is_none());
        drop(larger);
        assert!(memory.try_hold(1).is_some());
    }
}
