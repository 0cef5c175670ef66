//! What of quotas is in use: of those that bound all tenants together, and of those of whichever tenant has the least left.
//!
//! **Invariant:** nothing tells which tenant that is; a scrape looks once at each launch, each image and each tenant.

use std::collections::HashMap;

use prometheus_client::{
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use stagepages_images::OwnerUsage;

use super::{
    Sources,
    now::{Float, One, Pair, signed},
};
use crate::{
    auth::{Busy, Quota, Resource, Tenant},
    daemon::Taken,
};

/// See the module.
#[derive(Default)]
pub(super) struct Quotas {
    used: Family<One, Gauge>,
    limit: Family<One, Gauge>,
    used_bytes: Family<One, Gauge>,
    limit_bytes: Family<One, Gauge>,
    used_ratio: Family<Pair, Float>,
    launch_memory: Gauge,
}

/// What one tenant has.
#[derive(Debug, Clone, Copy, Default)]
struct Has {
    launches: Taken,
    images: OwnerUsage,
    calls: Busy,
}

impl Quotas {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let quotas = Self::default();
        registry.register(
            "quota_used",
            "What all tenants together have of what is counted, by resource",
            quotas.used.clone(),
        );
        registry.register(
            "quota_limit",
            "What all tenants together may have of it, where that is bounded",
            quotas.limit.clone(),
        );
        registry.register(
            "quota_used_bytes",
            "What all tenants together have of what is measured in bytes, by resource",
            quotas.used_bytes.clone(),
        );
        registry.register(
            "quota_limit_bytes",
            "What all tenants together may have of it, where that is bounded",
            quotas.limit_bytes.clone(),
        );
        registry.register(
            "quota_used_ratio",
            "The used share of the bound on all tenants together (total), and the largest of those of single tenants (tenant)",
            quotas.used_ratio.clone(),
        );
        registry.register(
            "launch_memory_limit_bytes",
            "What the memory regions of one launch may have in all",
            quotas.launch_memory.clone(),
        );
        quotas
    }

    pub(super) fn read(&self, sources: &Sources) {
        let policy = sources.policy.borrow().clone();
        let mut tenants: HashMap<Tenant, Has> = HashMap::new();
        let mut all = Taken::default();
        for (tenant, taken) in sources.launches.taken() {
            all.launches += taken.launches;
            all.memory_bytes = all.memory_bytes.saturating_add(taken.memory_bytes);
            all.staged_bytes = all.staged_bytes.saturating_add(taken.staged_bytes);
            tenants.entry(tenant).or_default().launches = taken;
        }
        for (owner, usage) in sources.images.owner_usages() {
            if let Ok(tenant) = owner.parse() {
                tenants.entry(tenant).or_default().images = usage;
            }
        }
        let most = |tenant: &Tenant| policy.bounds(tenant).own.calls_per_second;
        for (tenant, calls) in sources.meters.busy(most) {
            tenants.entry(tenant).or_default().calls = calls;
        }
        let total = policy.total();
        let calls = sources.meters.all_busy(total.calls_per_second);

        // A policy that was read again may bound less than the one before.
        self.limit.clear();
        self.limit_bytes.clear();
        self.used_ratio.clear();
        self.launch_memory.set(signed(sources.max_memory_bytes));
        let max_launches = Some(sources.launches.max_launches());
        self.count(Resource::Launches, all.launches, max_launches);
        self.count(Resource::Streams, calls.streams, total.streams);
        self.bytes(Resource::MemoryBytes, all.memory_bytes, total.memory_bytes);
        self.bytes(Resource::StagedBytes, all.staged_bytes, total.staged_bytes);
        if let Some(most) = total.calls_per_second {
            let labels = [("resource", Resource::CallsPerSecond.key())];
            self.limit.get_or_create(&labels).set(signed(most));
            self.fullest("total", Resource::CallsPerSecond, calls.calls, most);
        }
        for (tenant, has) in &tenants {
            self.one(tenant, policy.bounds(tenant).own, has);
        }
    }

    /// What one tenant has of what it may have. Images that it would lose for room are room.
    fn one(&self, tenant: &Tenant, own: Quota, has: &Has) {
        let held = has.images.pinned_bytes;
        let held = held.saturating_add(has.images.upload_bytes);
        // A device is the place of one launch: with one it is in use, and nothing is scarce.
        let live = own.live_launches.filter(|_| tenant.device().is_none());
        for (what, used, most) in [
            (Resource::Launches, has.launches.launches, own.launches),
            (Resource::LiveLaunches, has.launches.live_launches, live),
            (
                Resource::MemoryBytes,
                has.launches.memory_bytes,
                own.memory_bytes,
            ),
            (
                Resource::StagedBytes,
                has.launches.staged_bytes,
                own.staged_bytes,
            ),
            (Resource::ImageBytes, held, own.image_bytes),
            (Resource::Streams, has.calls.streams, own.streams),
        ] {
            if let Some(most) = most {
                self.fullest("tenant", what, float(used), most);
            }
        }
        if let Some(most) = own.calls_per_second {
            self.fullest("tenant", Resource::CallsPerSecond, has.calls.calls, most);
        }
    }

    fn count(&self, what: Resource, used: u64, most: Option<u64>) {
        self.all(&self.used, &self.limit, what, used, most);
    }

    fn bytes(&self, what: Resource, used: u64, most: Option<u64>) {
        self.all(&self.used_bytes, &self.limit_bytes, what, used, most);
    }

    fn all(
        &self,
        used_of: &Family<One, Gauge>,
        limit_of: &Family<One, Gauge>,
        what: Resource,
        used: u64,
        most: Option<u64>,
    ) {
        let labels = [("resource", what.key())];
        used_of.get_or_create(&labels).set(signed(used));
        if let Some(most) = most {
            limit_of.get_or_create(&labels).set(signed(most));
            self.fullest("total", what, float(used), most);
        }
    }

    /// Keeps the largest share of those that it is told of; of nothing at all, what is in use is too much.
    fn fullest(&self, scope: &'static str, what: Resource, used: f64, most: u64) {
        let labels = [("scope", scope), ("resource", what.key())];
        let gauge = self.used_ratio.get_or_create(&labels);
        gauge.set(gauge.get().max(used / float(most.max(1))));
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share, not a count")]
fn float(number: u64) -> f64 {
    number as f64
}
