//! How long to wait before a repeat, and when to give up: exponential backoff with full jitter. Pure.
//!
//! **Invariant:** bounded in number and in time; any progress begins both bounds anew.

use std::time::{Duration, Instant};

/// When to repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Repeats in a row without a page of progress.
    pub attempts: u32,
    /// Time without a page of progress, from the first failure on.
    pub outage: Duration,
    /// The wait before a first repeat is at most this, and at most twice as long before each further one.
    pub first: Duration,
    /// The wait before a repeat is at most this, unless the daemon asks for more.
    pub longest: Duration,
}

impl Default for RetryPolicy {
    /// Two minutes: longer than a daemon takes to be replaced, shorter than a person's patience.
    fn default() -> Self {
        Self {
            attempts: 64,
            outage: Duration::from_secs(120),
            first: Duration::from_millis(50),
            longest: Duration::from_secs(5),
        }
    }
}

impl RetryPolicy {
    /// Gives up at the first failure.
    #[must_use]
    pub fn never() -> Self {
        Self {
            attempts: 0,
            ..Self::default()
        }
    }

    /// Gives up after `outage` without progress.
    #[must_use]
    pub fn for_outage(outage: Duration) -> Self {
        Self {
            outage,
            ..Self::default()
        }
    }
}

/// The failures since the last progress.
#[derive(Debug)]
pub(crate) struct Patience {
    policy: RetryPolicy,
    failures: u32,
    first_failure: Option<Instant>,
}

impl Patience {
    pub(crate) fn new(policy: RetryPolicy) -> Self {
        Self {
            policy,
            failures: 0,
            first_failure: None,
        }
    }

    /// A page was settled.
    pub(crate) fn progressed(&mut self) {
        self.failures = 0;
        self.first_failure = None;
    }

    /// The wait before the next repeat, after a failure at `now`; `None` to give up. `asked` is the daemon's own wish, and `random` anything,
    /// evenly spread.
    pub(crate) fn failed(
        &mut self,
        now: Instant,
        asked: Option<Duration>,
        random: u64,
    ) -> Option<Duration> {
        let since = *self.first_failure.get_or_insert(now);
        if self.failures >= self.policy.attempts {
            return None;
        }
        let grown = 1_u32
            .checked_shl(self.failures)
            .and_then(|factor| self.policy.first.checked_mul(factor));
        let most = grown.map_or(self.policy.longest, |grown| grown.min(self.policy.longest));
        self.failures += 1;
        // Full jitter: clients that were cut off together do not come back together.
        let jitter = scaled(most, random);
        let wait = asked.map_or(jitter, |asked| asked.saturating_add(jitter));
        let left = self
            .policy
            .outage
            .checked_sub(now.saturating_duration_since(since))?;
        (wait <= left).then_some(wait)
    }
}

/// `random` as a share of `most`.
fn scaled(most: Duration, random: u64) -> Duration {
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    let share = (u128::from(nanos) * u128::from(random)) >> 64;
    Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        attempts: 5,
        outage: Duration::from_secs(60),
        first: Duration::from_secs(1),
        longest: Duration::from_secs(4),
    };

    #[test]
    fn waits_grow_to_a_bound_and_end() {
        let (mut patience, now) = (Patience::new(POLICY), Instant::now());
        let waits: Vec<_> = (0..6)
            .map(|_| {
                patience
                    .failed(now, None, u64::MAX)
                    .map(|it| it.as_millis())
            })
            .collect();
        assert_eq!(
            waits,
            [
                Some(999),
                Some(1999),
                Some(3999),
                Some(3999),
                Some(3999),
                None
            ]
        );
        patience.progressed();
        assert!(patience.failed(now, None, u64::MAX).is_some());
    }

    #[test]
    fn jitter_is_full() {
        let now = Instant::now();
        assert_eq!(
            Patience::new(POLICY).failed(now, None, 0),
            Some(Duration::ZERO)
        );
        assert_eq!(
            Patience::new(POLICY).failed(now, None, 1 << 63),
            Some(Duration::from_millis(500))
        );
    }

    #[test]
    fn the_daemons_wish_is_the_least() {
        let wait = Patience::new(POLICY).failed(Instant::now(), Some(Duration::from_secs(10)), 0);
        assert_eq!(wait, Some(Duration::from_secs(10)));
    }

    #[test]
    fn an_outage_is_bounded_in_time_and_a_wait_never_reaches_past_it() {
        let (mut patience, now) = (Patience::new(POLICY), Instant::now());
        assert!(patience.failed(now, None, 0).is_some());
        let late = now + Duration::from_secs(59);
        assert_eq!(patience.failed(late, Some(Duration::from_secs(2)), 0), None);
        assert_eq!(
            patience.failed(now + Duration::from_secs(61), None, 0),
            None
        );
        assert_eq!(
            Patience::new(RetryPolicy::never()).failed(now, None, 0),
            None
        );
    }
}
