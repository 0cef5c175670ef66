//! How many refused calls are told one by one: so many for each caller and reason, and so many in all, in each minute. The others are counted.
//!
//! **Invariant:** what is remembered is bounded, whoever calls and however often; every refused call is told or counted.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use stagepages_audit::Suppressed;

/// How long a budget lasts.
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// Records of one caller and reason in that time.
const EACH: u64 = 5;

/// Records of all together in that time: of half a kilobyte each, a flood takes two days to fill 64 MiB.
const ALL: u64 = 60;

/// Callers and reasons that are told apart in that time.
const KEYS: usize = 256;

/// Those of them that the record of a flood names.
const NAMED: usize = 16;

/// The budget of refused calls.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    /// When this budget ends; unset while nothing was taken of it.
    ends: Option<Instant>,
    told: u64,
    seen: HashMap<(String, String), Seen>,
    /// Suppressed calls of callers that are not told apart.
    others: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    told: u64,
    suppressed: u64,
}

/// How many calls were not told one by one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flood {
    /// In all.
    pub(super) count: u64,
    /// The most frequent of them.
    pub(super) most: Vec<Suppressed>,
}

impl Limiter {
    /// Whether a refused call is told by itself. [`Self::flood`] MUST have been asked before, or an old budget goes on.
    pub(super) fn tells(&mut self, identity: &str, reason: &str, now: Instant) -> bool {
        self.ends.get_or_insert(now + WINDOW);
        let key = (identity.to_owned(), reason.to_owned());
        let room = self.seen.len() < KEYS;
        let seen = match self.seen.get_mut(&key) {
            Some(seen) => seen,
            None if room => self.seen.entry(key).or_default(),
            None => {
                self.others += 1;
                return false;
            }
        };
        if seen.told < EACH && self.told < ALL {
            seen.told += 1;
            self.told += 1;
            return true;
        }
        seen.suppressed += 1;
        false
    }

    /// When a budget ends that something was taken of.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.ends
    }

    /// Begins a new budget if the last one is over by `now`, and tells what was suppressed meanwhile.
    pub(super) fn flood(&mut self, now: Instant) -> Option<Flood> {
        if self.ends.is_none_or(|ends| now < ends) {
            return None;
        }
        self.end()
    }

    /// Ends the budget, and tells what was suppressed.
    pub(super) fn end(&mut self) -> Option<Flood> {
        let over = std::mem::take(self);
        let suppressed = over.seen.values().map(|seen| seen.suppressed);
        let count = suppressed.sum::<u64>() + over.others;
        let seen = over
            .seen
            .into_iter()
            .filter(|(_, seen)| seen.suppressed > 0);
        let mut most: Vec<_> = seen
            .map(|((identity, reason), seen)| Suppressed {
                identity,
                reason,
                count: seen.suppressed,
            })
            .collect();
        most.sort_by(|a, b| {
            let names = |it: &Suppressed| (it.identity.clone(), it.reason.clone());
            b.count.cmp(&a.count).then_with(|| names(a).cmp(&names(b)))
        });
        most.truncate(NAMED);
        (count > 0).then_some(Flood { count, most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_has_a_few_records_a_minute_and_all_together_have_some() {
        let now = Instant::now();
        let mut limiter = Limiter::default();
        let told = |limiter: &mut Limiter, who: &str, calls: u64| {
            let told = (0..calls).filter(|_| limiter.tells(who, "PERMISSION", now));
            told.count() as u64
        };
        assert_eq!(told(&mut limiter, "a", 1000), EACH);
        assert_eq!(told(&mut limiter, "b", 2), 2);
        let mut all = EACH + 2;
        for nth in 0..1000 {
            all += told(&mut limiter, &nth.to_string(), 1);
        }
        assert_eq!(all, ALL);
        assert_eq!(limiter.seen.len(), KEYS);
        assert_eq!(limiter.flood(now), None);
        let flood = limiter.flood(now + WINDOW).unwrap();
        assert_eq!(flood.count, 2002 - ALL);
        assert_eq!(flood.most.len(), NAMED);
        let most = &flood.most[0];
        assert_eq!((&*most.identity, most.count), ("a", 1000 - EACH));
        assert_eq!(limiter.flood(now + 3 * WINDOW), None);
        assert!(limiter.tells("a", "PERMISSION", now + WINDOW));
    }
}
