//! What the daemon counts, and what is shown of it to Prometheus. deploy/METRICS.md has the list, and a test holds it against a scrape.
//!
//! ```text
//!  links to hosts ─▶ installs ─┐
//!  ends of hosts  ─▶ launches ─┤                       ┌─▶ OpenMetrics, or the older text format
//!  API's server   ─▶ calls    ─┼─▶ registry ─▶ scrape ─┤
//!  image store    ─▶ images   ─┤                 ▲
//!                              └─────────────────┴── now: gauges that are read off at each scrape
//! ```
//!
//! Counters begin at zero with each daemon, as Prometheus expects of a process. What an earlier daemon counted of a launch that lives on is not counted again.
//!
//! **Invariant:** no label has words of a caller in it: no name, tenant, path or address, so the number of series is bounded; and nothing waits for a scrape.

mod bounded;
mod calls;
mod images;
mod installs;
mod launches;
mod names;
mod now;
mod quotas;
mod site;
mod text;

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use prometheus_client::registry::Registry;

use self::now::Now;
pub use self::{
    calls::Calls,
    images::Images,
    installs::{Counted, Installs, Stagework},
    launches::Launches,
    now::Sources,
    site::MetricsSite,
    text::Format,
};
use crate::net::Load;

/// Everything that is counted. Clones are the same.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    /// Pages, and what installing them takes.
    installs: Installs,
    /// Launches, and their hosts.
    launches: Launches,
    /// Calls of the API.
    calls: Calls,
    /// The image store.
    images: Images,
    now: Now,
    load: OnceLock<Load>,
    /// One scrape at a time: gauges are set and written out together.
    scraping: Mutex<()>,
}

impl Metrics {
    /// Nothing is counted yet. `epoch` is the daemon's.
    #[must_use]
    pub fn new(epoch: u64) -> Self {
        let mut registry = Registry::with_prefix("stagepages");
        let inner = Inner {
            installs: Installs::register(&mut registry),
            launches: Launches::register(&mut registry),
            calls: Calls::register(&mut registry),
            images: Images::register(&mut registry),
            now: Now::register(&mut registry, epoch),
            registry,
            load: OnceLock::new(),
            scraping: Mutex::new(()),
        };
        Self(Arc::new(inner))
    }

    /// Pages, and what installing them takes.
    #[must_use]
    pub fn installs(&self) -> &Installs {
        &self.0.installs
    }

    /// Launches, and their hosts.
    #[must_use]
    pub fn launches(&self) -> &Launches {
        &self.0.launches
    }

    /// Calls of the API.
    #[must_use]
    pub fn calls(&self) -> &Calls {
        &self.0.calls
    }

    /// The image store.
    #[must_use]
    pub fn images(&self) -> &Images {
        &self.0.images
    }

    /// Takes how busy the API's server is; the first time counts.
    pub fn read_load(&self, load: Load) {
        self.0.load.get_or_init(|| load);
    }

    /// All of it as text, with the gauges as `sources` have them now. They are not kept: whoever counts is held by what is counted.
    ///
    /// # Errors
    /// A defect of what encodes it.
    pub fn scrape(&self, format: Format, sources: &Sources) -> Result<String, fmt::Error> {
        let inner = &self.0;
        let _one = inner
            .scraping
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        inner.now.read(sources, inner.load.get());
        format.write(&inner.registry)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
