//! How often, and how soon, the platform is asked again when the kernel said EAGAIN, EBUSY or EINTR.

use std::time::Duration;

/// Attempts without progress before a launch is given up.
const MOST: u32 = 10;

/// The first pause; it doubles, so that all pauses together stay around a second.
const FIRST: Duration = Duration::from_millis(1);

/// Counts attempts that made no progress. Progress starts it anew.
#[derive(Debug, Default)]
pub(super) struct Retry {
    attempts: u32,
}

impl Retry {
    /// The pause before the next attempt; `None` if there have been enough.
    pub(super) fn next(&mut self) -> Option<Duration> {
        if self.attempts == MOST {
            return None;
        }
        let pause = FIRST * 2_u32.pow(self.attempts);
        self.attempts += 1;
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_bounded_in_number_and_time() {
        let mut retry = Retry::default();
        let pauses: Vec<_> = std::iter::from_fn(|| retry.next()).collect();
        assert_eq!(pauses.len(), 10);
        assert!(pauses.iter().sum::<Duration>() < Duration::from_millis(1100));
        assert_eq!(retry.next(), None);
    }
}
