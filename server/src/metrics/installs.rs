//! Pages, and what installing them takes: counted where a host's answers come in, so that nothing depends on whether the caller is still there.
//!
//! A count is the difference between what the ledger of a launch held after an extent and before it, as its host told. So an answer that is given twice counts once,
//! and the sum of all types is what the API tells of the launch, less what was installed before this daemon adopted it.
//!
//! **Invariant:** every page that a launch of this daemon is told to have installed is counted, once, by the answer to the call that installed it or by the end of
//! its host.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use prometheus_client::{
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use stagepages_host::{
    platform::PlatformKind,
    protocol::{Outcome, Spent},
};
use stagepages_kvm::{PAGE_SIZE, PageType};

use super::{Metrics, bounded::Bounded, names};

type Pair = [(&'static str, &'static str); 2];
type One = [(&'static str, &'static str); 1];

/// Buckets of a histogram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Buckets {
    pub(super) first: f64,
    pub(super) factor: f64,
    pub(super) count: u16,
}

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(self.first, self.factor, self.count))
    }
}

/// From 1 µs to 4 s.
const WAITS: Buckets = Buckets {
    first: 1e-6,
    factor: 4.0,
    count: 12,
};

/// A page, from 250 ns, as on `kvm`, to 65 ms.
const PAGE: Buckets = Buckets {
    first: 250e-9,
    factor: 4.0,
    count: 10,
};

/// See the module.
#[derive(Debug)]
pub struct Installs {
    pages: Family<Pair, Counter>,
    bytes: Family<Pair, Counter>,
    per_page: Family<One, Histogram, Buckets>,
    waits: Family<Pair, Histogram, Buckets>,
    short: Family<One, Counter>,
    kernel_errors: Bounded,
    firmware_errors: Bounded,
}

/// What came of a request to a host, as far as it counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stagework {
    /// The type of the pages, where some were to be staged.
    pub page_type: Option<PageType>,
    /// Pages that the call installed, by its answer.
    pub pages: u64,
    /// It stopped at an installed page.
    pub short: bool,
    /// What its time went to.
    pub spent: Option<Spent>,
    /// The kernel's errno, if it refused.
    pub errno: Option<i32>,
    /// What firmware said, if it refused.
    pub firmware: Option<String>,
}

impl Installs {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let pages = Family::default();
        let bytes = Family::default();
        let per_page = Family::new_with_constructor(PAGE);
        let waits = Family::new_with_constructor(WAITS);
        let short = Family::default();
        registry.register("installed_pages", "Pages installed", pages.clone());
        registry.register("installed_bytes", "Bytes of pages installed", bytes.clone());
        registry.register(
            "page_install_seconds",
            "Time that a page took in its launch host, waiting for its turn left out: the mean of a call",
            per_page.clone(),
        );
        registry.register(
            "wait_seconds",
            "What the time of StagePages calls went to, by cause",
            waits.clone(),
        );
        registry.register(
            "short_counts",
            "StagePages calls that stopped at a page that was installed before",
            short.clone(),
        );
        let installs = Self {
            pages,
            bytes,
            per_page,
            waits,
            short,
            kernel_errors: Bounded::register(
                registry,
                "kernel_errors",
                "Refusals of launch hosts that the kernel gave an errno for",
                "errno",
            ),
            firmware_errors: Bounded::register(
                registry,
                "firmware_errors",
                "Refusals of launch hosts that firmware gave a status for",
                "status",
            ),
        };
        // So that a rate is there from the first page on.
        for kind in PlatformKind::ALL {
            let platform = ("platform", names::platform(kind));
            for page_type in PageType::ALL.into_iter().filter(|it| kind.takes(*it)) {
                let labels = [platform, ("page_type", names::page_type(page_type))];
                drop(installs.pages.get_or_create(&labels));
                drop(installs.bytes.get_or_create(&labels));
            }
            drop(installs.per_page.get_or_create(&[platform]));
            drop(installs.short.get_or_create(&[platform]));
            for cause in [
                "queue",
                "turn",
                "copy",
                "attributes",
                "ioctl",
                "hash",
                "other",
            ] {
                drop(installs.waits.get_or_create(&[platform, ("cause", cause)]));
            }
        }
        installs
    }

    fn installed(&self, kind: PlatformKind, page_type: Option<PageType>, pages: u64) {
        if pages == 0 {
            return;
        }
        let labels = [
            ("platform", names::platform(kind)),
            ("page_type", page_type.map_or("unknown", names::page_type)),
        ];
        self.pages.get_or_create(&labels).inc_by(pages);
        let bytes = pages.saturating_mul(PAGE_SIZE);
        self.bytes.get_or_create(&labels).inc_by(bytes);
    }

    /// Takes that a call waited in the daemon for its launch's turn at the firmware.
    pub fn waited_for_turn(&self, kind: PlatformKind, time: std::time::Duration) {
        self.wait(kind, "turn", time.as_secs_f64());
    }

    /// Takes what making a launch took.
    pub fn created(&self, kind: PlatformKind, spent: Option<Spent>) {
        if let Some(spent) = spent {
            self.wait(kind, "attributes", seconds(spent.attributes));
        }
    }

    fn wait(&self, kind: PlatformKind, cause: &'static str, seconds: f64) {
        let labels = [("platform", names::platform(kind)), ("cause", cause)];
        self.waits.get_or_create(&labels).observe(seconds);
    }

    fn answered(&self, kind: PlatformKind, work: &Stagework) {
        let platform = names::platform(kind);
        if work.short {
            self.short.get_or_create(&[("platform", platform)]).inc();
        }
        if let Some(errno) = work.errno {
            let name = stagepages_kvm::errno_name(errno);
            self.kernel_errors.count(platform, name.to_owned());
        }
        if let Some(status) = &work.firmware {
            self.firmware_errors.count(platform, status.clone());
        }
        let (Some(spent), Some(_)) = (work.spent, work.page_type) else {
            return;
        };
        self.wait(kind, "queue", seconds(spent.queue));
        // What is answered from memory, or refused before a page was looked at, has waited for nothing else.
        if [spent.turn, spent.copy, spent.ioctl, spent.hash] == [0; 4] {
            return;
        }
        for (cause, time) in [
            ("turn", spent.turn),
            ("copy", spent.copy),
            ("ioctl", spent.ioctl),
            ("hash", spent.hash),
            ("other", spent.other()),
        ] {
            self.wait(kind, cause, seconds(time));
        }
        if work.pages > 0 {
            let own = seconds(spent.total.saturating_sub(spent.turn));
            #[expect(
                clippy::cast_precision_loss,
                reason = "a call has fewer pages than a float has digits"
            )]
            let pages = work.pages as f64;
            let labels = [("platform", platform)];
            self.per_page.get_or_create(&labels).observe(own / pages);
        }
    }
}

fn seconds(nanos: u64) -> f64 {
    std::time::Duration::from_nanos(nanos).as_secs_f64()
}

impl Stagework {
    /// What of an answer counts.
    #[must_use]
    pub fn of(outcome: Option<&Outcome>) -> Self {
        if let Some(Outcome::Staged(staged)) = outcome {
            return Self {
                pages: staged.installed_pages,
                short: staged.stop.is_some(),
                spent: staged.spent,
                ..Self::default()
            };
        }
        let Some(Outcome::Refused(refused)) = outcome else {
            return Self::default();
        };
        // What TDX's module says has operands in its low half.
        let module = refused.platform.as_ref().and_then(|words| words.hw_error);
        let module = module.map(|error| format!("{:#010x}", error >> 32));
        let status = refused.firmware_status.filter(|status| *status != 0);
        Self {
            pages: refused.installed_pages,
            spent: refused.spent,
            errno: refused.errno,
            firmware: module.or(status.map(|status| format!("{status:#x}"))),
            ..Self::default()
        }
    }
}

/// The count of one launch.
#[derive(Debug, Clone)]
pub struct Counted {
    metrics: Metrics,
    /// Pages that were counted, by this daemon or an earlier one.
    pages: Arc<AtomicU64>,
    /// Set once the launch is this daemon's.
    platform: Arc<OnceLock<PlatformKind>>,
}

impl Counted {
    /// Of a launch that is not known yet.
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        Self {
            metrics,
            pages: Arc::default(),
            platform: Arc::default(),
        }
    }

    /// From now on it counts; `installed` pages are an earlier daemon's.
    pub fn begin(&self, platform: PlatformKind, installed: u64) {
        self.pages.store(installed, Ordering::Release);
        self.platform.get_or_init(|| platform);
    }

    /// Takes an answer, after which the ledger held `installed`.
    pub fn answered(&self, work: &Stagework, installed: u64) {
        let Some(kind) = self.platform.get() else {
            return;
        };
        self.up_to(*kind, work.page_type, installed);
        self.metrics.installs().answered(*kind, work);
    }

    /// Takes that the host is gone, with a call for pages of this type under way, and the ledger held `installed` when it was last heard of.
    pub fn lost(&self, page_type: Option<PageType>, installed: u64) {
        if let Some(kind) = self.platform.get() {
            self.up_to(*kind, page_type, installed);
        }
    }

    fn up_to(&self, kind: PlatformKind, page_type: Option<PageType>, installed: u64) {
        let before = self.pages.fetch_max(installed, Ordering::AcqRel);
        let new = installed.saturating_sub(before);
        self.metrics.installs().installed(kind, page_type, new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(metrics: &Metrics, page_type: &'static str) -> Option<u64> {
        let labels = [("platform", "kvm"), ("page_type", page_type)];
        let pages = metrics.installs().pages.get(&labels);
        pages.map(|counter| counter.get())
    }

    #[test]
    fn pages_count_once_and_by_the_call_that_installed_them() {
        let metrics = Metrics::new(1);
        let counted = Counted::new(metrics.clone());
        let work = |page_type| Stagework {
            page_type: Some(page_type),
            ..Stagework::default()
        };
        counted.answered(&work(PageType::Normal), 7);
        assert_eq!(pages(&metrics, "normal"), Some(0), "an earlier daemon's");
        counted.begin(PlatformKind::Kvm, 7);
        for (page_type, installed) in [
            (PageType::Normal, 10),
            (PageType::Normal, 10),
            (PageType::Zero, 11),
        ] {
            counted.answered(&work(page_type), installed);
        }
        counted.lost(Some(PageType::Normal), 13);
        counted.lost(None, 13);
        assert_eq!(pages(&metrics, "normal"), Some(5));
        assert_eq!(pages(&metrics, "zero"), Some(1));
        assert_eq!(pages(&metrics, "unknown"), None);
    }
}
