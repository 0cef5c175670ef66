//! The one thing that reaches into a running extent: the end of the launch.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use super::AbortReason;

const RUNS: u8 = 0;
const REQUESTED: u8 = 1;
const LEASE_EXPIRED: u8 = 2;

/// Set once, by whoever receives an abort; looked at between chunks. Never cleared: an abort is not taken back.
#[derive(Debug, Clone, Default)]
pub struct StopFlag(Arc<AtomicU8>);

impl StopFlag {
    /// Asks the launch to stop. The first reason stays.
    pub fn set(&self, reason: AbortReason) {
        let reason = match reason {
            AbortReason::Requested | AbortReason::PlatformRefused => REQUESTED,
            AbortReason::LeaseExpired => LEASE_EXPIRED,
        };
        // Fails where somebody else's reason stands already.
        self.0
            .compare_exchange(RUNS, reason, Ordering::AcqRel, Ordering::Acquire)
            .ok();
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire) != RUNS
    }

    /// Why somebody asked.
    #[must_use]
    pub fn reason(&self) -> AbortReason {
        if self.0.load(Ordering::Acquire) == LEASE_EXPIRED {
            AbortReason::LeaseExpired
        } else {
            AbortReason::Requested
        }
    }
}
