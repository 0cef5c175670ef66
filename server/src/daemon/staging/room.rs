//! The memory of a slot: locked while it has pages, wiped when its call is answered.
//!
//! **Invariant:** a limit on locked memory that is too low costs nothing but the lock, and is told once.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use stagepages_kvm::{KvmError, Window};

use super::{MAX_DATA_BYTES, SLOTS, Staging};

/// What a launch locks while calls use all of its slots, in bytes.
const LAUNCH_BYTES: u64 = MAX_DATA_BYTES * SLOTS as u64;

/// That memory is not locked was told.
static TOLD: AtomicBool = AtomicBool::new(false);

/// The memory of a slot.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) window: Window,
    /// Bytes from its beginning that may have pages.
    pub(super) touched: u64,
    /// Bytes from its beginning that may hold contents.
    pub(super) written: usize,
    /// Its pages are not swapped out.
    locked: bool,
}

impl Room {
    /// Without pages.
    pub(super) fn new(window: Window) -> Self {
        Self {
            window,
            touched: 0,
            written: 0,
            locked: false,
        }
    }

    /// Keeps its pages in memory, as far as the limit allows.
    pub(super) fn lock(&mut self) {
        if self.locked {
            return;
        }
        match self.window.lock() {
            Ok(()) => self.locked = true,
            Err(error) => tell(&error),
        }
    }

    /// It has no pages any more.
    pub(super) fn unlock(&mut self) {
        if !self.locked {
            return;
        }
        match self.window.unlock() {
            Ok(()) => self.locked = false,
            Err(error) => tracing::debug!(%error, "a staging slot without pages stays locked"),
        }
    }

    /// Overwrites what it holds.
    ///
    /// # Errors
    /// There is no memory for pages that the host has taken out of it.
    pub(super) fn wipe(&mut self) -> Result<(), KvmError> {
        self.window.wipe(self.written)?;
        self.written = 0;
        Ok(())
    }
}

/// Raises the soft limit on locked memory as far as this process may, and says so once if what a launch locks is more.
pub fn check_locking() {
    let raised = getrlimit(Resource::RLIMIT_MEMLOCK)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_MEMLOCK, hard, hard));
    if let Err(error) = raised {
        tracing::debug!(%error, "the limit of locked memory stays as it is");
    }
    // Tried, not computed: privilege (CAP_IPC_LOCK) lifts the limit, and only the kernel knows who has it.
    let locked = Staging::new().and_then(|staging| {
        let slots = staging.slots();
        let mut rooms = slots.free.iter().flatten();
        rooms
            .try_for_each(|room| room.window.lock())
            .map_err(io::Error::from)
    });
    if let Err(error) = locked {
        tell(&error);
    }
}

/// Says once that contents may be swapped out, and what would change that.
fn tell(error: &dyn std::error::Error) {
    if TOLD.swap(true, Ordering::Relaxed) {
        return;
    }
    let limit = match getrlimit(Resource::RLIMIT_MEMLOCK) {
        Ok((RLIM_INFINITY, _)) => "unlimited".to_owned(),
        Ok((soft, _)) => format!("{} KiB", soft >> 10),
        Err(error) => error.to_string(),
    };
    let needed = LAUNCH_BYTES >> 10;
    tracing::warn!(
        %error,
        limit,
        "staging memory is not all locked, so pages on their way may be swapped out; a launch locks up to {needed} KiB while pages are staged into it: raise RLIMIT_MEMLOCK to that times the launches that are staged at once (systemd: LimitMEMLOCK={needed}K or more), or turn swap off"
    );
}
