//! Waiting longer after each failure, up to a bound.
//!
//! **Invariant:** no wait is longer than the most that was given, whatever the number of failures.

use std::time::Duration;

/// The waits of one thing that is tried again and again.
#[derive(Debug, Clone)]
pub struct Backoff {
    least: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// Waits that begin with `least` and double up to `most`.
    #[must_use]
    pub const fn new(least: Duration, most: Duration) -> Self {
        Self {
            least,
            most,
            next: least,
        }
    }

    /// How long to wait after one more failure.
    pub fn after_failure(&mut self) -> Duration {
        let wait = self.next.min(self.most);
        self.next = self.next.saturating_mul(2).min(self.most);
        wait
    }

    /// Begins anew after a success.
    pub fn reset(&mut self) {
        self.next = self.least;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_begin_anew_after_a_success() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, 5 * second);
        let waits: Vec<u64> = (0..5).map(|_| backoff.after_failure().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5]);
        backoff.reset();
        assert_eq!(backoff.after_failure(), second);
    }
}
