//! Whether the launch thread gets on.
//!
//! A system call that does not return stops that one thread and no other, so it is the connection's thread that tells how long it has been.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

/// Beats of the launch thread.
#[derive(Debug)]
pub(super) struct Pulse {
    born: Instant,
    /// Milliseconds from birth, and 1, to the last beat; 0 while it waits for requests.
    last: AtomicU64,
}

impl Pulse {
    /// A thread that waits for requests.
    pub(super) fn new() -> Self {
        Self {
            born: Instant::now(),
            last: AtomicU64::new(0),
        }
    }

    /// It begins a request, or has got on with one.
    pub(super) fn beat(&self) {
        self.last.store(self.now(), Ordering::Relaxed);
    }

    /// It waits for requests.
    pub(super) fn rest(&self) {
        self.last.store(0, Ordering::Relaxed);
    }

    /// Milliseconds since the last beat; 0 while it waits for requests.
    pub(super) fn silence(&self) -> u64 {
        match self.last.load(Ordering::Relaxed) {
            0 => 0,
            last => self.now().saturating_sub(last),
        }
    }

    fn now(&self) -> u64 {
        let millis = self.born.elapsed().as_millis();
        u64::try_from(millis).unwrap_or(u64::MAX).saturating_add(1)
    }
}
