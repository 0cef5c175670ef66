//! How long a launch may stay untouched.
//!
//! The clock is tokio's, so that tests can move it.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

/// The lease of a launch that names none.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest lease.
pub const MAX_LEASE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The shortest lease.
pub const MIN_LEASE: Duration = Duration::from_secs(1);

/// A lease: it runs out unless somebody touches it.
#[derive(Debug)]
pub struct Lease {
    length: Duration,
    end: Mutex<End>,
}

/// The same moment by two clocks: waited for by the first, told by the second. Both are read at the touch, so that what is told stays the
/// same until the next.
#[derive(Debug, Clone, Copy)]
struct End {
    at: Instant,
    told: SystemTime,
}

impl End {
    fn after(length: Duration) -> Self {
        Self {
            at: Instant::now() + length,
            told: SystemTime::now() + length,
        }
    }
}

impl Lease {
    /// A lease of this length, from now on.
    #[must_use]
    pub fn new(length: Duration) -> Self {
        Self {
            length,
            end: Mutex::new(End::after(length)),
        }
    }

    /// How long it is.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.length
    }

    /// Begins it anew.
    pub fn touch(&self) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = End::after(self.length);
    }

    /// When it runs out, by the wall clock.
    pub fn expires(&self) -> SystemTime {
        self.end().told
    }

    /// Waits until it has run out. While `busy` says so, somebody is touching the launch and it begins anew.
    pub async fn expired(&self, busy: impl Fn() -> bool) {
        loop {
            tokio::time::sleep_until(self.end().at).await;
            if busy() {
                self.touch();
            } else if self.end().at <= Instant::now() {
                return;
            }
        }
    }

    fn end(&self) -> End {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lease_runs_out_when_nobody_touches_it_for_its_length() {
        let lease = Lease::new(Duration::from_secs(60));
        let start = Instant::now();
        let touching = async {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_secs(50)).await;
                lease.touch();
            }
        };
        tokio::join!(touching, lease.expired(|| false));
        assert_eq!(start.elapsed(), Duration::from_secs(3 * 50 + 60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_in_progress_keeps_it() {
        let lease = Lease::new(Duration::from_secs(60));
        let start = Instant::now();
        let looks = AtomicU32::new(0);
        lease
            .expired(|| looks.fetch_add(1, Ordering::Relaxed) < 2)
            .await;
        assert_eq!(start.elapsed(), Duration::from_secs(3 * 60));
    }
}
