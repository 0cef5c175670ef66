//! A set of frames as ranges.
//!
//! **Invariant:** ranges are not empty, do not touch, and ascend.

use std::collections::BTreeMap;

/// A set of numbers, cheap where they are consecutive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds `start..end`.
    pub fn add(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let (mut low, mut high) = (start, end);
        let touching: Vec<_> = self
            .0
            .range(..=end)
            .filter(|(_, until)| **until >= start)
            .map(|(from, until)| (*from, *until))
            .collect();
        for (from, until) in touching {
            low = low.min(from);
            high = high.max(until);
            self.0.remove(&from);
        }
        self.0.insert(low, high);
    }

    /// Takes `start..end` out.
    pub fn remove(&mut self, start: u64, end: u64) {
        let touched: Vec<_> = self
            .0
            .range(..end)
            .filter(|(_, until)| **until > start)
            .map(|(from, until)| (*from, *until))
            .collect();
        for (from, until) in touched {
            self.0.remove(&from);
            if from < start {
                self.0.insert(from, start);
            }
            if until > end {
                self.0.insert(end, until);
            }
        }
    }

    /// The number is in the set.
    #[must_use]
    pub fn holds(&self, number: u64) -> bool {
        self.0
            .range(..=number)
            .next_back()
            .is_some_and(|(_, until)| *until > number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_agree_with_a_plain_set() {
        let mut ranges = Ranges::default();
        let mut set = [false; 64];
        // A fixed walk that adds and removes overlapping, touching and nested ranges.
        let mut state = 12_345_u64;
        for _ in 0..500 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let start = state >> 58;
            let end = (start + (state >> 40 & 0xf)).min(64);
            let adds = state >> 33 & 1 == 0;
            if adds {
                ranges.add(start, end);
            } else {
                ranges.remove(start, end);
            }
            for number in start..end {
                set[usize::try_from(number).unwrap()] = adds;
            }
            for (number, expected) in (0..).zip(set) {
                assert_eq!(
                    ranges.holds(number),
                    expected,
                    "{number} after {start}..{end}"
                );
            }
        }
    }
}
