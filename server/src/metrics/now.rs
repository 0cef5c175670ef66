//! What is read off at each scrape.
//!
//! **Invariant:** reading takes no lock for longer than a look, and no file.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use stagepages_host::{launch::State, platform::PlatformKind};
use stagepages_images::Store;
use tokio::sync::watch;

use super::{names, quotas::Quotas};
use crate::{
    auth::{Meters, Policy},
    daemon::{FirmwareQueues, Registry as LaunchRegistry},
    net::{Load, Tls},
};

pub(super) type One = [(&'static str, &'static str); 1];
pub(super) type Pair = [(&'static str, &'static str); 2];
pub(super) type Float = Gauge<f64, AtomicU64>;

/// From where it is read.
#[derive(Debug, Clone)]
pub struct Sources {
    /// All launches.
    pub launches: Arc<LaunchRegistry>,
    /// The queues for firmware.
    pub queues: FirmwareQueues,
    /// The image store.
    pub images: Store,
    /// What TCP is served with.
    pub tls: Option<Arc<Tls>>,
    /// What tenants may take.
    pub policy: watch::Receiver<Arc<Policy>>,
    /// Which calls they make.
    pub meters: Arc<Meters>,
    /// What the regions of one launch may have, in bytes.
    pub max_memory_bytes: u64,
}

/// See the module.
#[derive(Default)]
pub(super) struct Now {
    launches: Family<Pair, Gauge>,
    image_bytes: Family<One, Gauge>,
    images: Family<One, Gauge>,
    pinned_bytes: Gauge,
    pinned_images: Gauge,
    image_quota: Gauge,
    not_after: Family<One, Float>,
    queue_launches: Family<One, Gauge>,
    queue_pages: Family<One, Gauge>,
    queue_page_time: Family<One, Float>,
    queue_expected: Family<One, Float>,
    connections: Gauge,
    max_connections: Gauge,
    half_open: Gauge,
    budget: Family<One, Gauge>,
    budget_used: Family<One, Gauge>,
    trouble: Family<One, Counter>,
    quotas: Quotas,
}

impl Now {
    pub(super) fn register(registry: &mut Registry, epoch: u64) -> Self {
        let now = Self {
            quotas: Quotas::register(registry),
            ..Self::default()
        };
        let build: Family<One, Gauge> = Family::default();
        build
            .get_or_create(&[("version", env!("CARGO_PKG_VERSION"))])
            .set(1);
        registry.register("build_info", "1; its label has the version", build);
        let started = Float::default();
        started.set(since_1970(SystemTime::now()));
        registry.register(
            "daemon_start_timestamp_seconds",
            "When this daemon began, and with it every counter, in seconds since 1970",
            started,
        );
        let daemons = Gauge::<i64>::default();
        daemons.set(signed(epoch));
        registry.register(
            "daemon_epoch",
            "Which daemon on this state directory it is; each start has a higher one",
            daemons,
        );
        registry.register("launches", "Launches that are kept", now.launches.clone());
        registry.register(
            "image_store_bytes",
            "Bytes of the image store that count against its quota",
            now.image_bytes.clone(),
        );
        registry.register(
            "image_store_images",
            "Images, unfinished writes, and corrupt images that were set aside",
            now.images.clone(),
        );
        registry.register(
            "image_store_pinned_bytes",
            "Bytes of the images that launches read, which are not evicted",
            now.pinned_bytes.clone(),
        );
        registry.register(
            "image_store_pinned_images",
            "Images that launches read",
            now.pinned_images.clone(),
        );
        registry.register(
            "image_store_quota_bytes",
            "What the image store may take",
            now.image_quota.clone(),
        );
        registry.register(
            "tls_not_after_timestamp_seconds",
            "When a certificate that is in use expires, in seconds since 1970",
            now.not_after.clone(),
        );
        registry.register(
            "queue_launches",
            "Launches that wait for firmware, the one whose turn it is included",
            now.queue_launches.clone(),
        );
        registry.register(
            "queue_pages",
            "Pages that they asked for and that are not installed",
            now.queue_pages.clone(),
        );
        registry.register(
            "queue_page_seconds",
            "What firmware is expected to take for a page",
            now.queue_page_time.clone(),
        );
        registry.register(
            "queue_expected_seconds",
            "When all of them are expected to be installed, from now",
            now.queue_expected.clone(),
        );
        registry.register(
            "connections",
            "Connections of the API",
            now.connections.clone(),
        );
        registry.register(
            "connections_limit",
            "Connections of the API that there may be",
            now.max_connections.clone(),
        );
        registry.register(
            "connections_half_open",
            "Connections that have not begun to speak HTTP/2",
            now.half_open.clone(),
        );
        registry.register(
            "receive_budget_bytes",
            "The receive budget beyond what is reserved for connections, by part",
            now.budget.clone(),
        );
        registry.register(
            "receive_budget_used_bytes",
            "What of it is in use",
            now.budget_used.clone(),
        );
        registry.register(
            "peer_trouble",
            "What peers did wrong, or too much of, by kind",
            now.trouble.clone(),
        );
        now
    }

    pub(super) fn read(&self, sources: &Sources, load: Option<&Load>) {
        self.read_launches(&sources.launches);
        self.read_images(&sources.images);
        self.read_queues(&sources.queues);
        self.quotas.read(sources);
        if let Some(tls) = &sources.tls {
            let not_after = tls.not_after();
            for (certificate, at) in [
                ("server", not_after.server),
                ("client_ca", not_after.client_ca),
            ] {
                let gauge = self
                    .not_after
                    .get_or_create(&[("certificate", certificate)]);
                gauge.set(since_1970(at));
            }
        }
        if let Some(load) = load {
            self.read_load(load);
        }
    }

    fn read_launches(&self, launches: &LaunchRegistry) {
        let launches: Vec<(PlatformKind, State)> = launches
            .list()
            .iter()
            .map(|launch| (launch.platform, launch.state()))
            .collect();
        for kind in PlatformKind::ALL {
            for state in names::STATES {
                let count = launches.iter().filter(|it| **it == (kind, state)).count();
                let labels = [
                    ("platform", names::platform(kind)),
                    ("state", names::state(state)),
                ];
                self.launches
                    .get_or_create(&labels)
                    .set(signed(count as u64));
            }
        }
    }

    fn read_images(&self, store: &Store) {
        let usage = store.usage();
        for (kind, bytes, count) in [
            ("images", usage.image_bytes, usage.images),
            ("uploads", usage.upload_bytes, usage.uploads),
            ("quarantined", usage.quarantined_bytes, usage.quarantined),
        ] {
            let labels = [("kind", kind)];
            self.image_bytes.get_or_create(&labels).set(signed(bytes));
            self.images.get_or_create(&labels).set(signed(count as u64));
        }
        self.pinned_bytes.set(signed(usage.pinned_bytes));
        self.pinned_images.set(signed(usage.pinned as u64));
        self.image_quota.set(signed(usage.quota_bytes));
    }

    fn read_queues(&self, queues: &FirmwareQueues) {
        for kind in PlatformKind::ALL {
            let Some(queue) = queues.of(kind) else {
                continue;
            };
            let view = queue.view();
            let labels = [("platform", names::platform(kind))];
            let launches = signed(view.launches as u64);
            self.queue_launches.get_or_create(&labels).set(launches);
            self.queue_pages
                .get_or_create(&labels)
                .set(signed(view.pages));
            let page_time = view.page_time.as_secs_f64();
            self.queue_page_time.get_or_create(&labels).set(page_time);
            let expected = view.expected.as_secs_f64();
            self.queue_expected.get_or_create(&labels).set(expected);
        }
    }

    fn read_load(&self, load: &Load) {
        let seen = load.look();
        self.connections.set(signed(seen.connections));
        self.max_connections.set(signed(seen.max_connections));
        self.half_open.set(signed(seen.half_open));
        for (part, all, used) in seen.budget {
            let labels = [("part", part)];
            self.budget.get_or_create(&labels).set(signed(all));
            self.budget_used.get_or_create(&labels).set(signed(used));
        }
        for (kind, count) in seen.trouble {
            let counter = self.trouble.get_or_create(&[("kind", kind)]);
            // Counted there, and only ever more.
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn since_1970(at: SystemTime) -> f64 {
    let since = at.duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since: Duration| since.as_secs_f64())
}
