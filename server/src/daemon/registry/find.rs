//! What is found of a tenant's launches: each of them, or that one cannot be told of yet.
//!
//! ```text
//!   being created                                     HOST_UNREACHABLE    counted in lists
//!   its host has not answered this daemon             HOST_UNREACHABLE    counted in lists
//!   of a host that has not said whose launch it has   HOST_UNREACHABLE, for every name that is not known; counted in every tenant's lists
//! ```
//!
//! **Invariant:** that there is no such launch is said only where none of that name is about to appear: whoever is told so takes it for gone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use super::{Entry, Registry};
use crate::{
    auth::Tenant,
    daemon::Launch,
    rpc::{reason::Reason, status::ApiError},
};

/// When to ask again for a launch that cannot be told of yet.
const RETRY: Duration = Duration::from_millis(200);

/// The launches of one tenant.
#[derive(Debug)]
pub struct Listing {
    /// Oldest first.
    pub launches: Vec<Arc<Launch>>,
    /// How many more there may be that cannot be told of yet.
    pub unsettled: u32,
}

/// A host that has not said yet whose launch it holds. Until this is dropped, no name is certain not to be in use.
#[derive(Debug)]
pub struct Unanswered(Arc<AtomicU32>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Registry {
    /// From now on a host is awaited whose launch is not known. What comes of it is to be restored before this is dropped.
    pub fn await_unknown(&self) -> Unanswered {
        self.unanswered.fetch_add(1, Ordering::AcqRel);
        Unanswered(Arc::clone(&self.unanswered))
    }

    /// The tenant's launch of this id, and of this uid if one is given.
    ///
    /// # Errors
    /// LAUNCH_NOT_FOUND, or HOST_UNREACHABLE while it cannot be told of.
    pub fn get(&self, tenant: &Tenant, id: &str, uid: &str) -> Result<Arc<Launch>, ApiError> {
        let entries = self.lock();
        let Some(entry) = entries.get(&(tenant.clone(), id.to_owned())) else {
            // Read under the lock that a launch is restored under: what is not counted any more is among the entries.
            return Err(match self.unanswered.load(Ordering::Acquire) {
                0 => {
                    let text =
                        format!("there is no launch {id}; ListLaunches shows those there are");
                    ApiError::new(Reason::LaunchNotFound, text).launch(id)
                }
                hosts => unsettled(
                    id,
                    &format!(
                        "whether there is a launch {id} is not known yet, because {hosts} launch hosts of an earlier daemon have not said which launch they hold"
                    ),
                ),
            });
        };
        if !uid.is_empty() && uid != entry.uid {
            let message = format!(
                "launch {id} has uid {}, not {uid}: that one is gone, and this is a later launch of the same name",
                entry.uid
            );
            return Err(ApiError::new(Reason::LaunchNotFound, message).launch(id));
        }
        entry.launch().ok_or_else(|| {
            let why = match entry.awaited {
                true => format!(
                    "the launch host of {id} finishes what an earlier daemon had handed it, and has not answered this one yet"
                ),
                false => format!("launch {id} is being created, and its launch host is not ready yet"),
            };
            unsettled(id, &why)
        })
    }

    /// The launches of a tenant.
    pub fn list_of(&self, tenant: &Tenant) -> Listing {
        let entries = self.lock();
        let (mut launches, mut unsettled) = (Vec::new(), self.unanswered.load(Ordering::Acquire));
        let own = entries.iter().filter(|((owner, _), _)| owner == tenant);
        for (_, entry) in own {
            match entry.launch() {
                Some(launch) => launches.push(launch),
                None => unsettled = unsettled.saturating_add(1),
            }
        }
        drop(entries);
        launches.sort_by_key(|launch| launch.sequence);
        Listing {
            launches,
            unsettled,
        }
    }

    /// The launches of all tenants that can be told of, oldest first.
    pub fn list(&self) -> Vec<Arc<Launch>> {
        let mut launches: Vec<_> = self.lock().values().filter_map(Entry::launch).collect();
        launches.sort_by_key(|launch| launch.sequence);
        launches
    }
}

fn unsettled(id: &str, why: &str) -> ApiError {
    ApiError::new(Reason::HostUnreachable, format!("{why}; try again"))
        .launch(id)
        .retry_after(RETRY)
}

#[cfg(test)]
mod tests {
    use stagepages_proto::v1;

    use super::*;
    use crate::{
        auth::{Bounds, Quota, Total},
        daemon::{RegistryLimits, Reservation},
    };

    fn tenant(name: &str) -> Tenant {
        name.parse().unwrap()
    }

    fn registry() -> Registry {
        Registry::new(RegistryLimits { max_launches: 4 })
    }

    fn refused(registry: &Registry, owner: &str, uid: &str) -> Reason {
        let found = registry.get(&tenant(owner), "vm", uid);
        found.unwrap_err().reason()
    }

    fn unsettled(registry: &Registry, owner: &str) -> u32 {
        let listing = registry.list_of(&tenant(owner));
        assert!(listing.launches.is_empty());
        listing.unsettled
    }

    #[test]
    fn a_launch_that_is_being_created_is_neither_there_nor_not() {
        let registry = registry();
        let bounds = Bounds {
            tenant: tenant("a"),
            own: Quota::default(),
            total: Total::default(),
        };
        let reserved = registry.reserve(&bounds, "vm", "u1", &v1::LaunchSpec::default());
        let Ok(Reservation::New { made, .. }) = reserved else {
            panic!("{reserved:?}");
        };
        for uid in ["", "u1"] {
            assert_eq!(refused(&registry, "a", uid), Reason::HostUnreachable);
        }
        assert_eq!(refused(&registry, "a", "u0"), Reason::LaunchNotFound);
        assert_eq!(refused(&registry, "b", ""), Reason::LaunchNotFound);
        assert_eq!(
            (unsettled(&registry, "a"), unsettled(&registry, "b")),
            (1, 0)
        );
        let failed = ApiError::new(Reason::NoCapacity, "no room");
        registry.settle(&bounds.tenant, "vm", &made, Err(failed));
        assert_eq!(refused(&registry, "a", ""), Reason::LaunchNotFound);
        assert_eq!(unsettled(&registry, "a"), 0);
    }

    #[test]
    fn a_launch_whose_host_has_not_answered_is_neither_there_nor_not() {
        let registry = registry();
        let awaited = registry.await_host(&tenant("a"), "vm", "u1", 1, v1::LaunchSpec::default());
        assert!(awaited.is_some());
        assert_eq!(refused(&registry, "a", "u1"), Reason::HostUnreachable);
        assert_eq!(refused(&registry, "a", "u0"), Reason::LaunchNotFound);
        assert_eq!(
            (unsettled(&registry, "a"), unsettled(&registry, "b")),
            (1, 0)
        );
    }

    #[test]
    fn nothing_is_certain_while_a_host_has_not_said_whose_launch_it_holds() {
        let registry = registry();
        let host = registry.await_unknown();
        for owner in ["a", "b"] {
            assert_eq!(refused(&registry, owner, ""), Reason::HostUnreachable);
            assert_eq!(unsettled(&registry, owner), 1);
        }
        drop(host);
        assert_eq!(refused(&registry, "a", ""), Reason::LaunchNotFound);
        assert_eq!(unsettled(&registry, "a"), 0);
    }
}
