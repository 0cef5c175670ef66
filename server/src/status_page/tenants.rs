//! Which tenants have launches, for those who may look at any: nobody has to guess what they are called.
//!
//! **Invariant:** told to nobody whom the API refuses a look at them, and never more than [`SHOWN`].

use std::{cmp::Reverse, collections::HashMap};

use super::StatusPage;
use crate::{auth::Tenant, daemon::Taken, net::PeerInfo};

/// Tenants that are listed.
const SHOWN: usize = 100;

/// Tenants with launches, and whoever looks first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tenants {
    /// The tenant of whoever looks.
    pub(super) own: Tenant,
    pub(super) shown: Vec<(Tenant, Taken)>,
    /// How many more there are.
    pub(super) more: usize,
}

impl StatusPage {
    /// Those that there are, for an overseer who looks at the things of `seen`; nothing where there is nobody else.
    pub(super) fn tenants(&self, peer: &PeerInfo, seen: &Tenant) -> Option<Tenants> {
        let own = self.keeper.overseer(peer)?;
        let tenants = listed(own, self.launches.taken());
        let alone = tenants.shown.len() == 1 && tenants.own == *seen;
        (!alone).then_some(tenants)
    }
}

/// One's own, then those with launches that are not over, by name.
fn listed(own: Tenant, mut taken: HashMap<Tenant, Taken>) -> Tenants {
    let mine = taken.remove(&own).unwrap_or_default();
    let mut shown: Vec<_> = taken.into_iter().collect();
    shown.sort_by(|(one, has), (other, had)| {
        let key = |tenant, has: &Taken| (Reverse(has.live_launches > 0), tenant);
        key(one, has).cmp(&key(other, had))
    });
    shown.insert(0, (own.clone(), mine));
    let more = shown.len().saturating_sub(SHOWN);
    shown.truncate(SHOWN);
    Tenants { own, shown, more }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(live_launches: u64) -> Taken {
        Taken {
            launches: 1,
            live_launches,
            ..Taken::default()
        }
    }

    fn tenant(name: &str) -> Tenant {
        name.parse().unwrap()
    }

    #[test]
    fn ones_own_comes_first_then_who_has_something_under_way() {
        let taken = [("b", 1), ("a", 0), ("c", 1)];
        let taken = taken.map(|(name, live)| (tenant(name), with(live)));
        let listed = listed(tenant("mine"), taken.into_iter().collect());
        let names: Vec<_> = listed.shown.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["mine", "b", "c", "a"]);
        assert_eq!((listed.shown[0].1, listed.more), (Taken::default(), 0));
    }

    #[test]
    fn however_many_there_are_so_many_are_listed_and_the_rest_is_counted() {
        let taken = (0..250).map(|nth| (tenant(&format!("t{nth}")), with(1)));
        let listed = listed(tenant("mine"), taken.collect());
        assert_eq!((listed.shown.len(), listed.more), (SHOWN, 151));
    }
}
