//! How long the firmware takes for a page, measured from what launches report while it works.
//!
//! Reports are gathered into windows of half a quantum, so that several that arrive together do not look like a fast firmware. A window
//! counts by its pages against those of the last eight quanta. One that is out of line by more than a factor of two counts as if it were just
//! that: a machine that was suspended for a second must not spoil every expected time. When the next one is out of line on the same side, the
//! firmware has changed, and the measure follows it by up to a factor of four a window.
//!
//! The first report replaces the guess, whatever it says: a guess is no evidence.
//!
//! Pages are counted in whole numbers and times in picoseconds, since a page of a simulator may take a third of a microsecond.
//!
//! **Invariant:** time during which nobody could install anything is never counted, and the time of a page is never zero.

use std::time::Duration;

/// Pages of how many quanta are remembered.
const MEMORY_QUANTA: u32 = 8;

/// The time of a page.
#[derive(Debug)]
pub(crate) struct PageTime {
    /// The time of a page, in picoseconds.
    picos: u64,
    /// How many pages stand behind it; zero for a guess.
    evidence: u64,
    window: Window,
    /// Where the last window was out of line.
    suspicion: Option<Side>,
    /// When the firmware began to work on what the next report will contain; `None` while it has nothing to do.
    working_since: Option<Duration>,
    /// Pages seen to be installed since ever.
    seen: u64,
    /// Firmware time measured since ever.
    measured: Duration,
    quantum: Duration,
}

#[derive(Debug, Default)]
struct Window {
    pages: u64,
    time: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Slower,
    Faster,
}

impl PageTime {
    pub(crate) fn new(guess: Duration, quantum: Duration) -> Self {
        Self {
            picos: picos(guess),
            evidence: 0,
            window: Window::default(),
            suspicion: None,
            working_since: None,
            seen: 0,
            measured: Duration::ZERO,
            quantum,
        }
    }

    /// The firmware has something to do from `now` on.
    pub(crate) fn resume(&mut self, now: Duration) {
        self.working_since.get_or_insert(now);
    }

    /// The firmware has nothing to do, or does not do it.
    pub(crate) fn pause(&mut self) {
        self.working_since = None;
    }

    /// For how long it has worked on what the next report will contain; `None` while it has nothing to do.
    pub(crate) fn working_for(&self, now: Duration) -> Option<Duration> {
        self.working_since.map(|since| now.saturating_sub(since))
    }

    /// Some launch reports `pages` more.
    pub(crate) fn installed(&mut self, pages: u64, now: Duration) {
        self.seen = self.seen.saturating_add(pages);
        let Some(time) = self.working_for(now) else {
            return;
        };
        self.working_since = Some(now);
        self.window.pages = self.window.pages.saturating_add(pages);
        self.window.time = self.window.time.saturating_add(time);
        self.measured = self.measured.saturating_add(time);
        let full = self.quantum / 2;
        let is_full = self.window.time >= full || self.time_of(self.window.pages) >= full;
        let is_first = self.evidence == 0 && !self.window.time.is_zero();
        if is_full || is_first {
            self.close_window();
        }
    }

    /// Whether it is a measure and no longer a guess: half a quantum of firmware time was seen.
    pub(crate) fn is_measured(&self) -> bool {
        self.measured >= self.quantum / 2
    }

    /// Pages seen to be installed since ever.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// The time of `pages` pages.
    pub(crate) fn time_of(&self, pages: u64) -> Duration {
        let nanos = u128::from(pages) * u128::from(self.picos) / 1000;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many pages fit into `time`, rounded to the nearest.
    pub(crate) fn pages_in(&self, time: Duration) -> u64 {
        let picos = time.as_nanos().saturating_mul(1000);
        let pages = picos.saturating_add(u128::from(self.picos / 2)) / u128::from(self.picos);
        u64::try_from(pages).unwrap_or(u64::MAX)
    }

    fn close_window(&mut self) {
        let Window { pages, time } = std::mem::take(&mut self.window);
        let sample = u64::try_from(time.as_nanos().saturating_mul(1000) / u128::from(pages.max(1)));
        let sample = sample.unwrap_or(u64::MAX).max(1);
        if self.evidence == 0 {
            (self.picos, self.evidence) = (sample, pages);
            return;
        }
        let side = if sample > self.picos.saturating_mul(2) {
            Some(Side::Slower)
        } else if sample < self.picos / 2 {
            Some(Side::Faster)
        } else {
            None
        };
        if side.is_some() && side == self.suspicion {
            let (least, most) = (self.picos / 4, self.picos.saturating_mul(4));
            (self.picos, self.evidence) = (sample.clamp(least, most).max(1), pages);
        } else {
            let sample = sample.clamp(self.picos / 2, self.picos.saturating_mul(2));
            let weight = u128::from(self.evidence) + u128::from(pages);
            let sum = u128::from(self.picos) * u128::from(self.evidence)
                + u128::from(sample) * u128::from(pages);
            self.picos = u64::try_from(sum / weight.max(1))
                .unwrap_or(u64::MAX)
                .max(1);
            self.evidence = self.evidence.saturating_add(pages);
        }
        let memory = self.pages_in(self.quantum.saturating_mul(MEMORY_QUANTA));
        self.evidence = self.evidence.min(memory.max(1));
        self.suspicion = side;
    }
}

fn picos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().saturating_mul(1000))
        .unwrap_or(u64::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    fn guess(time: Duration) -> PageTime {
        PageTime::new(time, MILLI * 50)
    }

    /// Reports `rounds` times `pages` pages, each report `each` after the one before.
    fn report(
        page_time: &mut PageTime,
        from: Duration,
        rounds: u32,
        pages: u64,
        each: Duration,
    ) -> Duration {
        page_time.resume(from);
        let mut now = from;
        for _ in 0..rounds {
            now += each;
            page_time.installed(pages, now);
        }
        now
    }

    fn is_within_a_tenth(page_time: &PageTime, truth: Duration) -> bool {
        page_time.time_of(1000).abs_diff(truth * 1000) <= truth * 100
    }

    #[test]
    fn the_first_report_replaces_the_guess() {
        for wrong in [MILLI / 1000, MILLI * 1000] {
            let mut page_time = guess(wrong);
            report(&mut page_time, Duration::ZERO, 1, 1, MILLI * 3);
            assert_eq!(page_time.time_of(1), MILLI * 3);
            assert!(!page_time.is_measured());
        }
    }

    #[test]
    fn one_slow_report_does_not_spoil_it() {
        let mut page_time = guess(MILLI);
        let now = report(&mut page_time, Duration::ZERO, 400, 1, MILLI);
        let now = report(&mut page_time, now, 1, 1, Duration::from_secs(30));
        assert!(is_within_a_tenth(&page_time, MILLI));
        report(&mut page_time, now, 25, 1, MILLI);
        assert!(is_within_a_tenth(&page_time, MILLI));
    }

    #[test]
    fn a_firmware_that_changes_is_followed_both_ways() {
        for change in [MILLI / 100, MILLI * 100] {
            let mut page_time = guess(MILLI);
            let now = report(&mut page_time, Duration::ZERO, 400, 1, MILLI);
            // Two windows to believe it, three of a factor of four to get near, and some to settle.
            let (rounds, pages) = if change < MILLI { (12, 2500) } else { (12, 1) };
            report(
                &mut page_time,
                now,
                rounds,
                pages,
                change * u32::try_from(pages).unwrap(),
            );
            assert!(is_within_a_tenth(&page_time, change), "{page_time:?}");
        }
    }

    #[test]
    fn reports_that_arrive_together_are_one() {
        let mut page_time = guess(MILLI);
        page_time.resume(Duration::ZERO);
        for burst in 1..100 {
            for _ in 0..10 {
                page_time.installed(1, MILLI * 10 * burst);
            }
        }
        assert!(is_within_a_tenth(&page_time, MILLI), "{page_time:?}");
    }

    #[test]
    fn idle_time_is_not_the_firmwares() {
        let mut page_time = guess(MILLI);
        let mut now = Duration::ZERO;
        for _ in 0..100 {
            now = report(&mut page_time, now, 5, 1, MILLI);
            page_time.pause();
            now += MILLI * 70;
        }
        assert!(is_within_a_tenth(&page_time, MILLI));
    }

    #[test]
    fn a_page_takes_time_whatever_is_reported() {
        let mut page_time = guess(MILLI);
        report(
            &mut page_time,
            Duration::ZERO,
            100,
            u64::MAX,
            Duration::ZERO,
        );
        for _ in 0..100 {
            page_time.pause();
            page_time.resume(Duration::ZERO);
            page_time.installed(1, Duration::MAX);
        }
        assert!(page_time.pages_in(Duration::MAX) > 0);
        assert!(page_time.time_of(u64::MAX) > Duration::ZERO);
    }
}
