//! Collectors that do not do what they should: they cost spans, and no calls.
use stagepages_proto::v1::Platform;
use stagepages_tests::{Bench, DaemonOptions, eventually, on_platform};

use crate::collector::{Collector, Mood};
use crate::rig::{TRACE, create, get, small, stage, traced};

const GET: &str = "stagepages.v1.LaunchService/GetLaunch";

fn options(collector: &Collector) -> DaemonOptions {
    let endpoint = collector.endpoint();
    DaemonOptions::new().config(&format!("otlp_endpoint = {endpoint:?}"))
}

/// Traced calls that work as they always do.
async fn work(bench: &Bench, id: &str) {
    let mut api = bench.api.launches.clone();
    let made = traced(create(id, small(bench.platform)), "01");
    api.create_launch(made).await.unwrap();
    let staged = api.stage_pages(traced(stage(id, 8), "01")).await.unwrap();
    assert_eq!(staged.into_inner().installed_pages, 8);
}

/// Waits until the log says that spans are lost.
async fn told_of_loss(bench: &Bench) {
    eventually("a line about lost spans", async || {
        bench.daemon.log().contains("spans are lost").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_comes_back_gets_spans_again() {
    let collector = Collector::start(Mood::Takes).await;
    let options = options(&collector);
    let address = collector.endpoint()["http://".len()..].parse().unwrap();
    drop(collector);
    on_platform(&options, Platform::Sim, async |bench: &Bench| {
        work(bench, "away").await;
        told_of_loss(bench).await;
        let collector = Collector::start_at(address, Mood::Takes).await;
        let mut api = bench.api.launches.clone();
        // How soon a lost connection is tried again is the library's to say.
        eventually("a span", async || {
            let name = get("away");
            api.clone().get_launch(traced(name, "01")).await.unwrap();
            let found = collector.spans();
            found.iter().any(|seen| seen.span.name == GET).then_some(())
        })
        .await;
        api.get_launch(traced(get("away"), "01")).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_or_refuses_holds_up_nobody() {
    for mood in [Mood::Hangs, Mood::Refuses] {
        let collector = Collector::start(mood).await;
        on_platform(
            &options(&collector),
            Platform::Sim,
            async |bench: &Bench| {
                work(bench, "unseen").await;
                let mut api = bench.api.launches.clone();
                // More than the queue holds.
                for _ in 0..5000 {
                    api.get_launch(traced(get("unseen"), "01")).await.unwrap();
                }
                told_of_loss(bench).await;
                let lines = bench.daemon.log();
                let lines = lines.lines().filter(|line| line.contains("spans are lost"));
                // One in ten seconds, and this did not take a minute.
                assert!(lines.count() < 8);
                // And the daemon ends in order: that is seen to when this returns.
            },
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_sent_yet_is_sent_at_the_end() {
    let collector = Collector::start(Mood::Takes).await;
    on_platform(
        &options(&collector),
        Platform::Sim,
        async |bench: &Bench| {
            work(bench, "last").await;
        },
    )
    .await;
    // The daemon is gone.
    let spans = collector.spans();
    let host = spans
        .iter()
        .filter(|seen| seen.service == "stagepages-host");
    assert!(host.count() >= 2, "{spans:?}");
    let traces = spans
        .iter()
        .map(|seen| crate::collector::hex(&seen.span.trace_id));
    assert!(traces.into_iter().all(|trace| trace == TRACE));
}
