//! Random histories of events, in any order and with any numbers, against what must hold after each of them.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use stagepages_schedule::{Class, Config, Scheduler};

use crate::{MICRO, MILLI};

#[derive(Debug, Clone)]
enum Step {
    Join(u8, usize, Option<u64>, u64),
    Ask(u8, u64, Option<Duration>),
    /// Installs up to so many of what is granted and asked for.
    Install(u8, u64),
    /// Ends the oldest call, complete or not.
    Answer(u8),
    Leave(u8),
    Pass(Duration),
    /// What no host would say: totals out of the air.
    Lie(u8, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..6_u8;
    let plan = prop::option::of(0..5000_u64);
    let deadline = prop::option::of((0..10_000_u32).prop_map(|millis| MILLI * millis));
    prop_oneof![
        2 => (key(), 0..3_usize, plan, 0..100_u64).prop_map(|(k, c, p, i)| Step::Join(k, c, p, i)),
        6 => (key(), 0..300_u64, deadline).prop_map(|(k, p, d)| Step::Ask(k, p, d)),
        12 => (key(), 1..60_u64).prop_map(|(k, p)| Step::Install(k, p)),
        4 => key().prop_map(Step::Answer),
        1 => key().prop_map(Step::Leave),
        8 => (0..4000_u32).prop_map(|micros| Step::Pass(MICRO * micros)),
        1 => (0..4_u32).prop_map(|seconds| Step::Pass(MILLI * 1000 * seconds)),
        1 => (key(), any::<u64>()).prop_map(|(k, total)| Step::Lie(k, total % 10_000)),
    ]
}

/// A launch as its host and client know it.
#[derive(Debug, Default)]
struct Known {
    installed: u64,
    granted: u64,
    /// Pages of the open calls and how many of each are installed.
    calls: Vec<(u64, u64)>,
}

impl Known {
    fn left(&self) -> u64 {
        self.calls.iter().map(|(pages, done)| pages - done).sum()
    }

    fn outstanding(&self) -> u64 {
        self.granted.saturating_sub(self.installed).min(self.left())
    }
}

#[derive(Debug)]
struct History {
    scheduler: Scheduler<u8>,
    known: BTreeMap<u8, Known>,
    now: Duration,
    /// Since when somebody wants the firmware and nobody may use it.
    idle_since: Option<Duration>,
}

impl History {
    fn apply(&mut self, step: &Step) {
        let now = self.now;
        match *step {
            Step::Join(key, class, plan, installed) => {
                let installed = self
                    .known
                    .get(&key)
                    .map_or(installed, |known| known.installed);
                self.scheduler
                    .join(key, Class::ALL[class], plan, installed, now);
                self.known.entry(key).or_insert(Known {
                    installed,
                    granted: installed,
                    calls: vec![],
                });
            }
            Step::Ask(key, pages, deadline) => {
                let accepted = self.scheduler.ask(key, pages, deadline, now).is_ok();
                if let Some(known) = self.known.get_mut(&key).filter(|_| accepted && pages > 0) {
                    known.calls.push((pages, 0));
                }
            }
            Step::Install(key, pages) => {
                let Some(known) = self.known.get_mut(&key) else {
                    return self.scheduler.progress(key, pages, now);
                };
                let mut more = pages.min(known.outstanding());
                known.installed += more;
                for (pages, done) in &mut known.calls {
                    let own = more.min(*pages - *done);
                    *done += own;
                    more -= own;
                }
                self.scheduler.progress(key, known.installed, now);
            }
            Step::Answer(key) => match self.known.get_mut(&key) {
                Some(known) if !known.calls.is_empty() => {
                    // Calls end in order, so whatever the later ones have is not yet there when the first falls short.
                    let (pages, _) = known.calls.remove(0);
                    let later: u64 = known.calls.iter().map(|(_, done)| done).sum();
                    self.scheduler
                        .answered(key, pages, known.installed - later, now);
                }
                Some(_) => {}
                None => self.scheduler.answered(key, 7, 7, now),
            },
            Step::Leave(key) => {
                self.scheduler.leave(key, now);
                self.known.remove(&key);
            }
            Step::Pass(time) => self.now += time,
            // Of a stranger: of a launch that is known it would be its host's own fault.
            Step::Lie(key, total) => {
                if !self.known.contains_key(&key) {
                    self.scheduler.progress(key, total, now);
                    self.scheduler.answered(key, total, total, now);
                    self.scheduler.leave(key, now);
                }
            }
        }
    }

    fn decide(&mut self) -> Result<(), TestCaseError> {
        let mut decisions = 0;
        while let Some(grant) = self.scheduler.decide(self.now) {
            decisions += 1;
            prop_assert!(decisions < 3, "decisions without end");
            let Some(known) = self.known.get_mut(&grant.key) else {
                return Err(TestCaseError::fail(format!(
                    "a grant to {}, which left",
                    grant.key
                )));
            };
            prop_assert!(
                grant.up_to_pages > known.granted,
                "{grant:?} after {known:?}"
            );
            prop_assert!(
                grant.up_to_pages <= known.installed + known.left(),
                "{grant:?} beyond {known:?}"
            );
            known.granted = grant.up_to_pages;
        }
        Ok(())
    }

    fn check(&mut self, config: &Config) -> Result<(), TestCaseError> {
        let waiting = self.known.values().filter(|known| known.left() > 0).count();
        prop_assert_eq!(self.scheduler.waiting(), waiting);
        if let Some(wake) = self.scheduler.wake_at() {
            prop_assert!(wake > self.now, "a decision is due that was not made");
        }
        // Work conservation: the firmware has something to do, or it has not been idle for longer than patience, which an answer begins anew once.
        let is_idle = waiting > 0 && self.known.values().all(|known| known.outstanding() == 0);
        if is_idle {
            let since = *self.idle_since.get_or_insert(self.now);
            prop_assert!(
                self.now < since + config.patience * 2 || self.now == since,
                "idle since {since:?} at {:?}",
                self.now
            );
        } else {
            self.idle_since = None;
        }
        // Whoever waits is in the queue once, with its pages, and has a place.
        let queue: Vec<_> = self.scheduler.queue().collect();
        for (key, known) in &self.known {
            let entries: Vec<_> = queue.iter().filter(|waiting| waiting.key == *key).collect();
            prop_assert!(entries.len() <= 1);
            prop_assert_eq!(
                entries.first().map_or(0, |waiting| waiting.pages),
                known.left()
            );
            let place = self.scheduler.place(*key, self.now);
            prop_assert!(place.is_some() || known.left() == 0);
            if let Some(index) = queue.iter().position(|waiting| waiting.key == *key) {
                prop_assert_eq!(place.map(|place| place.position), Some(index));
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_must_hold_holds_after_every_event(steps in prop::collection::vec(step(), 1..200)) {
        let config = Config { max_waiting: 4, ..Config::default() };
        let scheduler = Scheduler::new(config.clone()).unwrap();
        let mut history = History { scheduler, known: BTreeMap::new(), now: Duration::ZERO, idle_since: None };
        for step in &steps {
            history.apply(step);
            history.decide()?;
            history.check(&config)?;
        }
        // No starvation: with hosts that do what they may, everyone is done in as many rounds as there are pages.
        for _ in 0..100_000 {
            let Some(key) = history.known.iter().find(|(_, known)| known.outstanding() > 0).map(|(key, _)| *key) else {
                history.now += config.patience;
                history.decide()?;
                if history.scheduler.waiting() == 0 {
                    break;
                }
                continue;
            };
            history.now += MILLI;
            history.apply(&Step::Install(key, 1));
            history.decide()?;
        }
        prop_assert_eq!(history.scheduler.waiting(), 0);
    }
}
