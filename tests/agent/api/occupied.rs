//! A launch that has the machine's firmware to itself, until it is told to end: whatever comes after it waits in the queue.
//!
//! **Invariant:** it is another tenant's than those of the launches that are tested, and is gone when its end was awaited.

use std::time::Duration;

use stagepages_proto::v1::PageType;
use stagepages_tests::{Api, Call, Extent, PAGE, SimScript, eventually, page, region};

use super::rig::Rig;

/// A device that no test gives to a Pod beside this.
const DEVICE: &str = "sim-7";
/// Longer than any test waits, by the time of a page.
const PAGES: u64 = 16_384;
const PAGE_TIME: Duration = Duration::from_millis(10);

/// The firmware, occupied.
pub(super) struct Occupied {
    api: Api,
    name: String,
    call: Call,
}

impl Occupied {
    /// Begins, and waits until it has the firmware.
    pub(super) async fn begin(rig: &Rig) -> Self {
        let api = rig.device(DEVICE).await;
        let spec = SimScript::new()
            .latency(PAGE_TIME)
            .spec([region(page(0), PAGES * PAGE)]);
        let name = api.create("busy", spec).await.unwrap().name;
        let zeros = Extent::length(page(0), PageType::Zero, PAGES * PAGE);
        let call = tokio::spawn({
            let (api, name) = (api.clone(), name.clone());
            async move { api.stage(&name, zeros).await }
        });
        eventually("the first page of it", async || {
            let launch = api.get(&name).await.unwrap();
            (launch.installed_pages > 0).then_some(())
        })
        .await;
        Self { api, name, call }
    }

    /// Ends it: the next one's turn has come.
    pub(super) async fn end(self) {
        self.api.abort(&self.name).await.unwrap();
        // Refused or short, it has ended.
        drop(self.call.await.unwrap());
        eventually("it to be deleted", async || {
            self.api.delete(&self.name).await.ok()
        })
        .await;
    }
}
