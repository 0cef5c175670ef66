//! An extent that takes long enough to be interrupted, on any platform, and the progress that can be seen meanwhile.
//!
//! `sim` is slow by script. The others get a run of zeros of as many pages as that takes, which needs no message of that size.
//!
//! **Invariant:** nothing is asserted by how long it takes.
use std::time::Duration;

use stagepages_proto::v1::{Launch, PageType, Platform, StagePagesResponse};
use tokio::task::JoinHandle;
use tonic::Status;

use crate::api::Extent;
use crate::bench::Bench;
use crate::contents::{PAGE, page};
use crate::spec::{SimScript, region, spec};
use crate::wait::eventually;

/// A call of StagePages that goes on by itself. To drop it is no cancellation; to abort it is.
pub type Call = JoinHandle<Result<StagePagesResponse, Status>>;

/// A launch and one extent that fills it.
#[derive(Debug, Clone)]
pub struct Slow {
    /// The launch.
    pub launch: Launch,
    /// Pages of the extent, and of its only region.
    pub pages: u64,
}

impl Slow {
    /// A launch whose one extent takes a second or two.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn launch(bench: &Bench, id: &str) -> Self {
        let pages = bench.pace().slow_pages;
        let regions = [region(page(0), pages * PAGE)];
        let spec = if bench.platform == Platform::Sim {
            let script = SimScript::new().latency(Duration::from_millis(4));
            script.spec(regions)
        } else {
            spec(bench.platform, regions)
        };
        Self {
            launch: bench.api.create(id, spec).await.unwrap(),
            pages,
        }
    }

    /// The whole of it.
    #[must_use]
    pub fn extent(&self) -> Extent {
        Extent::length(page(0), PageType::Normal, self.pages * PAGE)
    }

    /// Starts a call that stages the whole of it.
    #[must_use]
    pub fn start(&self, bench: &Bench) -> Call {
        self.start_part(bench, self.extent())
    }

    /// Starts a call that stages `extent` into the launch.
    #[must_use]
    pub fn start_part(&self, bench: &Bench, extent: Extent) -> Call {
        let (api, name) = (bench.api.clone(), self.launch.name.clone());
        tokio::spawn(async move { api.stage(&name, extent).await })
    }

    /// Waits until a part of the extent is installed; the launch as it was then.
    ///
    /// # Panics
    /// If that takes too long.
    pub async fn underway(&self, bench: &Bench) -> Launch {
        eventually("the first pages of a slow extent", async || {
            Some(bench.api.get(&self.launch.name).await.unwrap())
                .filter(|launch| launch.installed_pages > 0)
        })
        .await
    }

    /// Waits until all of the extent is installed.
    ///
    /// # Panics
    /// If that takes too long.
    pub async fn complete(&self, bench: &Bench) {
        eventually("the last page of a slow extent", async || {
            Some(bench.api.get(&self.launch.name).await.unwrap())
                .filter(|launch| launch.installed_pages == self.pages)
        })
        .await;
    }
}
