//! Whether and when a dead daemon is started again.
//!
//! **Invariant:** pure; it knows no clock and no process.

use std::time::Duration;

/// A daemon that lived this long was well; its death starts the count anew.
const WELL_AFTER: Duration = Duration::from_secs(60);
/// The wait behind the first quick death; each further one doubles it.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// So many quick deaths in a row, and another start would not help.
pub(super) const MAX_QUICK_DEATHS: u32 = 10;

/// Counts deaths.
#[derive(Debug, Default)]
pub(super) struct RestartPolicy {
    quick_deaths: u32,
}

/// What follows a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Start it again when this has passed.
    RestartAfter(Duration),
    /// It died quickly [`MAX_QUICK_DEATHS`] times in a row, and there is nothing to lose.
    GiveUp,
}

impl RestartPolicy {
    /// Goes on with the count of an earlier process of this supervisor.
    pub(super) fn resume(quick_deaths: u32) -> Self {
        Self { quick_deaths }
    }

    /// The quick deaths in a row up to now.
    pub(super) fn quick_deaths(&self) -> u32 {
        self.quick_deaths
    }

    /// Takes note of a death of a daemon that had lived so long. As long as hosts live there is no giving up: that would end them, and a daemon
    /// that cannot run may yet be mended.
    pub(super) fn after_death(&mut self, lived: Duration, hosts_live: bool) -> Verdict {
        self.quick_deaths = if lived >= WELL_AFTER {
            1
        } else {
            self.quick_deaths.saturating_add(1)
        };
        if self.quick_deaths >= MAX_QUICK_DEATHS && !hosts_live {
            return Verdict::GiveUp;
        }
        let doublings = self.quick_deaths.min(MAX_QUICK_DEATHS) - 1;
        let doubled = FIRST_DELAY * 2_u32.pow(doublings);
        Verdict::RestartAfter(doubled.min(LONGEST_DELAY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_five_seconds_and_then_it_gives_up() {
        let mut policy = RestartPolicy::default();
        let verdicts: Vec<_> = (0..10)
            .map(|_| policy.after_death(Duration::from_secs(1), false))
            .collect();
        let delays = [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000];
        let mut expected: Vec<_> = delays
            .iter()
            .map(|ms| Verdict::RestartAfter(Duration::from_millis(*ms)))
            .collect();
        expected.push(Verdict::GiveUp);
        assert_eq!(verdicts, expected);
    }

    #[test]
    fn a_daemon_that_lived_a_minute_starts_the_count_anew() {
        let mut policy = RestartPolicy::default();
        for _ in 0..9 {
            policy.after_death(Duration::ZERO, false);
        }
        assert_eq!(
            policy.after_death(Duration::from_secs(60), false),
            Verdict::RestartAfter(Duration::from_millis(100))
        );
        assert_eq!(
            policy.after_death(Duration::from_secs(59), false),
            Verdict::RestartAfter(Duration::from_millis(200))
        );
    }

    #[test]
    fn while_hosts_live_it_never_gives_up_and_when_they_are_gone_it_does() {
        let mut policy = RestartPolicy::resume(u32::MAX - 2);
        for _ in 0..5 {
            assert_eq!(
                policy.after_death(Duration::ZERO, true),
                Verdict::RestartAfter(LONGEST_DELAY)
            );
        }
        assert_eq!(policy.after_death(Duration::ZERO, false), Verdict::GiveUp);
        assert_eq!(policy.quick_deaths(), u32::MAX);
    }
}
