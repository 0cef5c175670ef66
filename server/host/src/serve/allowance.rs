//! How far the daemon lets the launch go: on platforms whose firmware is one for the whole machine, only a daemon sees all that wait for it.
//!
//! The daemon that obeys nobody's order any more, because it is gone, leaves the launch free: calls that are with the host are completed, whatever becomes of the
//! daemon.
//!
//! **Invariant:** the launch waits here only for a daemon that is connected, and never once its stop flag is set and [`wake`](Allowance::wake) was called.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::launch::StopFlag;

/// What one daemon allows.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    given: Mutex<Option<Given>>,
    changed: Condvar,
}

/// An allowance, while there is one; without, everything is allowed.
#[derive(Debug, Clone, Copy)]
struct Given {
    /// The connection on which it came.
    by: u64,
    /// Pages that the ledger may reach.
    up_to_pages: u64,
}

impl Allowance {
    /// From now on the ledger may reach `up_to_pages`, says the daemon on this connection. What was allowed is not taken back.
    pub(super) fn give(&self, by: u64, up_to_pages: u64) {
        let mut given = self.lock();
        let before = given.filter(|given| given.by == by);
        *given = Some(Given {
            by,
            up_to_pages: up_to_pages.max(before.map_or(0, |given| given.up_to_pages)),
        });
        drop(given);
        self.wake();
    }

    /// That connection is gone, or nobody's to obey any more.
    pub(super) fn release(&self, by: u64) {
        let mut given = self.lock();
        if given.is_some_and(|given| given.by == by) {
            *given = None;
        }
        drop(given);
        self.wake();
    }

    /// A daemon came whose orders count from now on, and who has given none.
    pub(super) fn reset(&self) {
        *self.lock() = None;
        self.wake();
    }

    /// The stop flag may have been set.
    pub(super) fn wake(&self) {
        // Nobody is between looking at the flag and waiting while this holds the lock.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// How many pages may be installed where the ledger holds `installed`; `None` if the launch has to wait.
    pub(super) fn room(&self, installed: u64) -> Option<u64> {
        room(*self.lock(), installed)
    }

    /// The same, waiting for it; 0 once the stop flag is set.
    pub(super) fn wait(&self, installed: u64, stop: &StopFlag) -> u64 {
        let mut given = self.lock();
        loop {
            if stop.is_set() {
                return 0;
            }
            if let Some(room) = room(*given, installed) {
                return room;
            }
            given = self
                .changed
                .wait(given)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Given>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn room(given: Option<Given>, installed: u64) -> Option<u64> {
    match given {
        None => Some(u64::MAX),
        Some(given) => given
            .up_to_pages
            .checked_sub(installed)
            .filter(|room| *room > 0),
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;
    use crate::launch::AbortReason;

    #[test]
    fn a_launch_goes_as_far_as_it_may_and_everywhere_without_a_daemon() {
        let allowance = Allowance::default();
        assert_eq!(allowance.room(7), Some(u64::MAX));
        allowance.give(1, 10);
        assert_eq!((allowance.room(7), allowance.room(10)), (Some(3), None));
        // What was given is not taken back by the one who gave it.
        allowance.give(1, 8);
        assert_eq!(allowance.room(7), Some(3));
        // Another daemon begins anew.
        allowance.give(2, 8);
        assert_eq!((allowance.room(7), allowance.room(8)), (Some(1), None));
        allowance.release(1);
        assert_eq!(allowance.room(8), None);
        allowance.release(2);
        assert_eq!(allowance.room(8), Some(u64::MAX));
    }

    #[test]
    fn whoever_waits_goes_on_when_it_may_and_when_the_launch_is_over() {
        for (end, room) in [(0, 2), (1, u64::MAX), (2, u64::MAX), (3, 0)] {
            let allowance = Arc::new(Allowance::default());
            let stop = StopFlag::default();
            allowance.give(1, 5);
            let waits = {
                let (allowance, stop) = (Arc::clone(&allowance), stop.clone());
                let thread = thread::Builder::new().name("waits".to_owned());
                thread.spawn(move || allowance.wait(5, &stop)).unwrap()
            };
            match end {
                0 => allowance.give(1, 7),
                1 => allowance.release(1),
                2 => allowance.reset(),
                _ => {
                    stop.set(AbortReason::Requested);
                    allowance.wake();
                }
            }
            assert_eq!(waits.join().unwrap(), room, "{end}");
        }
    }
}
