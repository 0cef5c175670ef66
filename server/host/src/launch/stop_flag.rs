//! The one thing that reaches into a running extent: AbortLaunch.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Set once, by whoever receives an abort; looked at between chunks. Never cleared: an abort is not taken back.
#[derive(Debug, Clone, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Asks the launch to stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
