//! The bytes of messages that one call holds, and the room that it has for them in the receive budget.
//!
//! Small messages need none: a call has paid for them when it began ([`ALLOWANCE_BYTES`] of [`CALL_BYTES`]). So what only asks
//! or commands is served however full the budget is.
//!
//! [`CALL_BYTES`]: super::limits::CALL_BYTES
//!
//! **Invariant:** a call has room for every byte that was passed on to its handler and is not consumed.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedSemaphorePermit;

use super::budget::{Room, Standing};

/// What a call may hold without room of its own, in bytes.
pub(super) const ALLOWANCE_BYTES: usize = 4 << 10;

/// What one call holds. All of it is given back when the last part of the call is dropped.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<Rooms>);

#[derive(Debug, Default)]
struct Rooms {
    share: Option<OwnedSemaphorePermit>,
    lane: Option<OwnedSemaphorePermit>,
    /// Where the rooms are, if there are any.
    standing: Option<Standing>,
}

impl Held {
    /// Whether the call is on the lane; then there is room for the rest of its message.
    pub(super) fn is_on_lane(&self) -> bool {
        self.rooms().lane.is_some()
    }

    /// Among whose rooms more is to be taken by a call on a connection that stands like `now`: where it has some already, else
    /// there.
    pub(super) fn standing(&self, now: Standing) -> Standing {
        self.rooms().standing.unwrap_or(now)
    }

    /// Adds `room`, taken among those of `standing`.
    pub(super) fn add(&self, room: Room, standing: Standing) {
        let mut rooms = self.rooms();
        rooms.standing = Some(standing);
        match room {
            Room::Lane(lane) => rooms.lane = Some(lane),
            Room::Share(share) => match &mut rooms.share {
                Some(held) => held.merge(share),
                None => rooms.share = Some(share),
            },
        }
    }

    /// Keeps room for `bytes`, all that is not consumed, and gives back the rest.
    pub(super) fn keep(&self, bytes: usize) {
        let mut rooms = self.rooms();
        let Rooms {
            share,
            lane,
            standing,
        } = &mut *rooms;
        let in_share = share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if bytes <= in_share + ALLOWANCE_BYTES {
            *lane = None;
        }
        // What is on the lane, the beginning of a next message that came with the end of the last, stays there.
        if bytes <= ALLOWANCE_BYTES {
            *share = None;
        } else if let Some(share) = share {
            drop(share.split(in_share.saturating_sub(bytes)));
        }
        if share.is_none() && lane.is_none() {
            *standing = None;
        }
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::net::{Limits, budget::Budget};

    const MIB: u32 = 1 << 20;

    #[tokio::test]
    async fn what_is_consumed_comes_back_the_lane_first() {
        let standing = Standing::Unknown;
        let budget = Arc::new(Budget::new(&Limits::default()).expect("suffices"));
        let mut all: Vec<_> = std::iter::from_fn(|| budget.try_room(standing, MIB)).collect();
        let held = Held::default();
        held.add(Room::Share(all.pop().expect("is some")), standing);
        held.add(Room::Share(all.pop().expect("is some")), standing);
        let lane = Arc::clone(&budget).room(standing, MIB).await;
        held.add(lane.expect("the lane"), standing);
        assert!(held.is_on_lane());
        held.keep((2 << 20) + ALLOWANCE_BYTES + 1);
        assert!(held.is_on_lane());
        held.keep(2 << 20);
        assert!(!held.is_on_lane());
        assert_eq!(held.standing(Standing::Known), standing);
        assert!(budget.try_room(standing, MIB).is_none());
        held.keep(1 << 20);
        let one = budget.try_room(standing, MIB).expect("came back");
        held.keep(ALLOWANCE_BYTES);
        let other = budget.try_room(standing, MIB).expect("came back");
        assert_eq!(held.standing(Standing::Known), Standing::Known);
        drop((one, other));
    }
}
