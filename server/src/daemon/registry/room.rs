//! What launches take of their tenants' quotas.
//!
//! It is summed up when it is asked for, and only where there is a bound: nothing is counted twice, and nothing is left over when a launch ends in an
//! unusual way. What is staged counts from before it is with the host; the host's own count is there before that ends.
//!
//! **Invariant:** a tenant's launches never hold more than it was allowed when their last page was let in; what an earlier daemon had handed to hosts comes on top.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use stagepages_kvm::PAGE_SIZE;
use stagepages_proto::v1;

use super::{Entries, Entry, Registry};
use crate::{
    auth::{Bounds, Resource, Tenant},
    daemon::Launch,
    rpc::status::ApiError,
};

/// Bytes that are on their way into a launch. They count until dropped.
#[derive(Debug)]
pub struct OnTheWay {
    all: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for OnTheWay {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// What a tenant's launches take of its quota.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// Launches that there are.
    pub launches: u64,
    /// Of these, those that are not over and gone.
    pub live_launches: u64,
    /// Memory regions of those.
    pub memory_bytes: u64,
    /// Pages in those, and on their way into them.
    pub staged_bytes: u64,
}

impl Registry {
    /// How many launches there may be, of all tenants.
    #[must_use]
    pub fn max_launches(&self) -> u64 {
        self.limits.max_launches.into()
    }

    /// What each tenant's launches take, of those that have any.
    pub fn taken(&self) -> HashMap<Tenant, Taken> {
        let mut taken: HashMap<Tenant, Taken> = HashMap::new();
        for ((tenant, _), entry) in self.lock().iter() {
            // Names are copied once for each tenant, and not for each launch.
            if !taken.contains_key(tenant) {
                taken.insert(tenant.clone(), Taken::default());
            }
            if let Some(of) = taken.get_mut(tenant) {
                of.launches += 1;
                of.live_launches += u64::from(entry.is_live());
                of.memory_bytes = of.memory_bytes.saturating_add(entry.memory_bytes());
                of.staged_bytes = of.staged_bytes.saturating_add(entry.staged_bytes());
            }
        }
        taken
    }

    /// Lets `bytes` into a launch, if there is room for them.
    ///
    /// # Errors
    /// QUOTA_EXCEEDED.
    pub fn let_in(
        &self,
        launch: &Launch,
        bytes: u64,
        bounds: &Bounds,
    ) -> Result<OnTheWay, ApiError> {
        let (own, total) = (bounds.own.staged_bytes, bounds.total.staged_bytes);
        // One at a time where there is a bound.
        let entries = (own.is_some() || total.is_some()).then(|| self.lock());
        if let Some(entries) = &entries {
            let staged = |tenant| sum(entries, tenant, Entry::staged_bytes);
            let what = Resource::StagedBytes;
            if own.is_some() {
                bounds.check_own(what, own, staged(Some(&bounds.tenant)), bytes)?;
            }
            if total.is_some() {
                Bounds::check_total(what, total, staged(None), bytes)?;
            }
        }
        launch.on_the_way.fetch_add(bytes, Ordering::AcqRel);
        Ok(OnTheWay {
            all: Arc::clone(&launch.on_the_way),
            bytes,
        })
    }
}

/// Whether there is room for one more launch.
///
/// # Errors
/// QUOTA_EXCEEDED.
pub(super) fn for_launch(
    entries: &Entries,
    bounds: &Bounds,
    asked: &v1::LaunchSpec,
) -> Result<(), ApiError> {
    let own = Some(&bounds.tenant);
    if let most @ Some(_) = bounds.own.launches {
        let launches = sum(entries, own, |_| 1);
        bounds.check_own(Resource::Launches, most, launches, 1)?;
    }
    if let most @ Some(_) = bounds.own.live_launches {
        let live = sum(entries, own, |entry| u64::from(entry.is_live()));
        bounds.check_own(Resource::LiveLaunches, most, live, 1)?;
    }
    let (what, wanted) = (Resource::MemoryBytes, memory_bytes(asked));
    if let most @ Some(_) = bounds.own.memory_bytes {
        let used = sum(entries, own, Entry::memory_bytes);
        bounds.check_own(what, most, used, wanted)?;
    }
    if let most @ Some(_) = bounds.total.memory_bytes {
        let used = sum(entries, None, Entry::memory_bytes);
        Bounds::check_total(what, most, used, wanted)?;
    }
    Ok(())
}

fn sum(entries: &Entries, tenant: Option<&Tenant>, of: impl Fn(&Entry) -> u64) -> u64 {
    let theirs = entries
        .iter()
        .filter(|((owner, _), _)| tenant.is_none_or(|tenant| owner == tenant));
    theirs.fold(0, |sum: u64, (_, entry)| sum.saturating_add(of(entry)))
}

fn memory_bytes(spec: &v1::LaunchSpec) -> u64 {
    let sizes = spec.regions.iter().map(|region| region.size);
    sizes.fold(0, u64::saturating_add)
}

impl Entry {
    /// Whether its launch is being made, or is not over and gone.
    fn is_live(&self) -> bool {
        self.launch().is_none_or(|launch| !launch.has_released())
    }

    /// Memory that it reserves, until its launch is over and gone.
    fn memory_bytes(&self) -> u64 {
        if self.is_live() {
            memory_bytes(&self.asked)
        } else {
            0
        }
    }

    /// Pages in it, and on their way into it, in bytes.
    fn staged_bytes(&self) -> u64 {
        let Some(launch) = self.launch().filter(|launch| !launch.has_released()) else {
            return 0;
        };
        let installed = launch.installed_pages().saturating_mul(PAGE_SIZE);
        installed.saturating_add(launch.on_the_way.load(Ordering::Acquire))
    }
}
