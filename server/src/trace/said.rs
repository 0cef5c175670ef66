//! How many calls that fail are said one by one.
//!
//! **Invariant:** no callers fill the log: so many lines in each window, and the number of the others with the next one.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a budget lasts.
const WINDOW: Duration = Duration::from_secs(10);

/// Lines in that time.
const LINES: u32 = 50;

/// A budget of lines of one kind.
#[derive(Debug, Default)]
pub struct Said(Mutex<Budget>);

#[derive(Debug, Default)]
struct Budget {
    /// When it ends; unset before the first line.
    ends: Option<Instant>,
    taken: u32,
    left_out: u64,
}

impl Said {
    /// Takes a line. How many were left out since the last one; `None` if this one is left out, too.
    pub fn one_more(&self, now: Instant) -> Option<u64> {
        let mut budget = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if budget.ends.is_none_or(|ends| ends <= now) {
            budget.ends = Some(now + WINDOW);
            budget.taken = 0;
        }
        if budget.taken == LINES {
            budget.left_out = budget.left_out.saturating_add(1);
            return None;
        }
        budget.taken += 1;
        Some(std::mem::take(&mut budget.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_not_said() {
        let (said, now) = (Said::default(), Instant::now());
        for _ in 0..LINES {
            assert_eq!(said.one_more(now), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(said.one_more(now), None);
        }
        assert_eq!(said.one_more(now + WINDOW), Some(1000));
        assert_eq!(said.one_more(now + WINDOW), Some(0));
    }
}
