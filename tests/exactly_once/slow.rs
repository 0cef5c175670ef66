//! An extent that takes long enough to be interrupted, on either platform.
//!
//! `sim` is slow by script. `kvm` is as fast as memory, so it gets a run of zeros of a few gigabytes, which needs no message of that size.
use std::time::Duration;

use stagepages_proto::v1::{Launch, PageType, Platform};
use stagepages_tests::{Bench, Extent, PAGE, SimScript, eventually, page, region, spec};

/// A launch and one extent that fills it.
#[derive(Debug, Clone)]
pub(crate) struct Slow {
    pub(crate) launch: Launch,
    pub(crate) pages: u64,
}

impl Slow {
    pub(crate) async fn launch(bench: &Bench, id: &str) -> Self {
        let (pages, spec) = if bench.platform == Platform::Sim {
            let script = SimScript::new().latency(Duration::from_millis(4));
            (512, script.spec([region(page(0), 512 * PAGE)]))
        } else {
            let pages = (2 << 30) / PAGE;
            (pages, spec(bench.platform, [region(page(0), pages * PAGE)]))
        };
        Self {
            launch: bench.api.create(id, spec).await.unwrap(),
            pages,
        }
    }

    /// The whole of it.
    pub(crate) fn extent(&self) -> Extent {
        Extent::length(page(0), PageType::Normal, self.pages * PAGE)
    }

    /// Waits until a part of the extent is installed.
    pub(crate) async fn underway(&self, bench: &Bench) {
        eventually("the first pages of a slow extent", async || {
            let now = bench.api.get(&self.launch.name).await.unwrap();
            (now.installed_pages > 0).then_some(())
        })
        .await;
    }
}
