//! Launches on firmware that takes its time.
//!
//! **Invariant:** what is said of an order is told by answers and counts, never by clocks.

use std::time::Duration;

use stagepages_proto::v1::{Launch, LaunchPriority, LaunchSpec, PageType, QueuePlace};
use stagepages_tests::{
    Bench, Call, DaemonOptions, Extent, PAGE, SimScript, eventually, on_platform, page, region,
};

/// Pages that each launch has room for.
pub(crate) const ROOM: u64 = 4096;

/// Runs `test` on the simulator, with these lines of configuration.
pub(crate) async fn on_sim(config: &str, test: impl AsyncFn(&Bench)) {
    let options = DaemonOptions::new().config(config);
    on_platform(&options, stagepages_proto::v1::Platform::Sim, test).await;
}

pub(crate) fn spec(priority: LaunchPriority) -> LaunchSpec {
    let script = SimScript::new().latency(Duration::from_millis(2));
    LaunchSpec {
        priority: priority.into(),
        ..script.spec([region(page(0), ROOM * PAGE)])
    }
}

/// A launch with nothing in it.
pub(crate) async fn launch(bench: &Bench, id: &str, priority: LaunchPriority) -> Launch {
    bench.api.create(id, spec(priority)).await.unwrap()
}

pub(crate) fn extent(first: u64, pages: u64) -> Extent {
    Extent::length(page(first), PageType::Normal, pages * PAGE)
}

/// A call that goes on by itself.
pub(crate) fn call(bench: &Bench, id: &str, first: u64, pages: u64) -> Call {
    let (api, name) = (bench.api.clone(), format!("launches/{id}"));
    tokio::spawn(async move { api.stage(&name, extent(first, pages)).await })
}

pub(crate) async fn get(bench: &Bench, id: &str) -> Launch {
    bench.api.get(&format!("launches/{id}")).await.unwrap()
}

/// Waits until the launch has a place with this position.
pub(crate) async fn waits_at(bench: &Bench, id: &str, position: u32) -> QueuePlace {
    eventually(&format!("{id} at position {position}"), async || {
        { get(bench, id).await.queue }.filter(|place| place.position == position)
    })
    .await
}

/// Waits until pages of the launch are installed.
pub(crate) async fn begins(bench: &Bench, id: &str) -> u64 {
    eventually(&format!("a page of {id}"), async || {
        Some(get(bench, id).await.installed_pages).filter(|pages| *pages > 0)
    })
    .await
}
