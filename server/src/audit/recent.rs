//! Refused calls of late, for who looks at the status page. The log on disk is not read for that: it may be off, and keeps no words.
//!
//! **Invariant:** what is remembered is bounded, whoever calls and however often, and one tenant's refusals push out none of another's; there is nothing
//! in it but what its caller was told.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// Refusals of one tenant that are remembered.
const EACH: usize = 50;

/// Tenants whose refusals are remembered.
const TENANTS: usize = 64;

/// A call that was refused, once or several times on end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// When it was last.
    pub at: SystemTime,
    /// How often.
    pub count: u64,
    /// Who called.
    pub identity: String,
    /// The last part of the method's path.
    pub method: String,
    /// The stable reason.
    pub reason: String,
    /// What the caller was told, the last time.
    pub text: String,
    /// Id of the launch that it was about, or nothing.
    pub launch: String,
}

/// The refusals of late of every tenant, and of callers that belong to none. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Recent(Arc<Mutex<HashMap<String, VecDeque<Refused>>>>);

impl Recent {
    /// Takes in a refusal of this tenant's, the empty one being nobody's.
    pub(super) fn add(&self, tenant: &str, new: Refused) {
        let mut tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !tenants.contains_key(tenant) && tenants.len() >= TENANTS {
            let last = |refused: &VecDeque<Refused>| refused.back().map(|last| last.at);
            let quietest = tenants.iter().min_by_key(|(_, refused)| last(refused));
            if let Some(quietest) = quietest.map(|(tenant, _)| tenant.clone()) {
                tenants.remove(&quietest);
            }
        }
        let refused = tenants.entry(tenant.to_owned()).or_default();
        let same = |known: &Refused| {
            (&known.identity, &known.method, &known.reason, &known.launch)
                == (&new.identity, &new.method, &new.reason, &new.launch)
        };
        let known = refused.iter().position(same);
        let before = known.and_then(|nth| refused.remove(nth));
        let count = new
            .count
            .saturating_add(before.map_or(0, |before| before.count));
        if refused.len() >= EACH {
            refused.pop_front();
        }
        refused.push_back(Refused { count, ..new });
    }

    /// Those of a tenant, the newest first.
    #[must_use]
    pub fn of(&self, tenant: &str) -> Vec<Refused> {
        let tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = tenants.get(tenant).into_iter().flatten();
        refused.rev().cloned().collect()
    }

    /// Those of callers that the policy does not know, the newest first.
    #[must_use]
    pub fn of_strangers(&self) -> Vec<Refused> {
        self.of("")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn refused(method: &str, seconds: u64) -> Refused {
        Refused {
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            count: 1,
            identity: "uid:1".to_owned(),
            method: method.to_owned(),
            reason: "PERMISSION".to_owned(),
            text: String::new(),
            launch: String::new(),
        }
    }

    #[test]
    fn repeats_are_counted_and_come_first_again() {
        let recent = Recent::default();
        for (method, at) in [("A", 1), ("B", 2), ("A", 3)] {
            recent.add("blue", refused(method, at));
        }
        let shown = recent.of("blue");
        let shown: Vec<_> = shown.iter().map(|it| (&*it.method, it.count)).collect();
        assert_eq!(shown, [("A", 2), ("B", 1)]);
        assert!(recent.of("red").is_empty() && recent.of_strangers().is_empty());
    }

    #[test]
    fn a_flood_pushes_out_its_own_and_a_crowd_those_who_are_quiet() {
        let recent = Recent::default();
        recent.add("blue", refused("Kept", 1_000_000));
        for nth in 0..1000 {
            recent.add("red", refused(&nth.to_string(), nth));
        }
        assert_eq!(recent.of("red").len(), EACH);
        assert_eq!(recent.of("red")[0].method, "999");
        for nth in 0..1000 {
            recent.add(&nth.to_string(), refused("A", 2000 + nth));
        }
        assert_eq!(recent.of("blue").len(), 1);
        assert!(recent.of("red").is_empty());
    }
}
