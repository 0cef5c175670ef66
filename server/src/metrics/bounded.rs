//! A counter whose label is a number that somebody else chose.
//!
//! **Invariant:** at most [`MOST`] values of the label, whatever comes: what comes later counts as `other`.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Different values that are told apart.
const MOST: usize = 64;

/// A platform, and the value.
type Labels = [(&'static str, String); 2];

/// Counts by platform and by such a value.
#[derive(Debug)]
pub(super) struct Bounded {
    counts: Family<Labels, Counter>,
    label: &'static str,
    seen: Mutex<HashSet<String>>,
}

impl Bounded {
    pub(super) fn register(
        registry: &mut Registry,
        name: &str,
        help: &str,
        label: &'static str,
    ) -> Self {
        let counts = Family::default();
        registry.register(name, help, counts.clone());
        Self {
            counts,
            label,
            seen: Mutex::default(),
        }
    }

    /// Counts one more.
    pub(super) fn count(&self, platform: &'static str, value: String) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.contains(&value) || (seen.len() < MOST && seen.insert(value.clone()));
        drop(seen);
        let value = if known { value } else { "other".to_owned() };
        let labels = [("platform", platform.to_owned()), (self.label, value)];
        self.counts.get_or_create(&labels).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_so_many_values_all_are_others() {
        let bounded = Bounded::register(&mut Registry::default(), "x", "x", "n");
        for round in 0..2 {
            for value in 0..MOST + 3 {
                bounded.count("sim", value.to_string());
            }
            let count = |value: &str| {
                let labels = [("platform", "sim".to_owned()), ("n", value.to_owned())];
                bounded.counts.get(&labels).map(|counter| counter.get())
            };
            assert_eq!(count("0"), Some(round + 1));
            assert_eq!(count("other"), Some(3 * (round + 1)));
            assert_eq!(count(&MOST.to_string()), None);
        }
    }
}
