//! Ends of launches, hosts and daemons.
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use stagepages_proto::v1::Platform;
use stagepages_tests::{
    Bench, Contents, DaemonOptions, Extent, PAGE, SimScript, eventually, on_platform, over, page,
    region, renew_daemon,
};

use super::scrape;

const PAGES: &str = "stagepages_installed_pages_total";
const SIM: &str = "platform=\"sim\"";

fn options() -> DaemonOptions {
    DaemonOptions::new().metrics()
}

/// The launch counts as over once its host is gone, which is after its answer.
async fn counted(bench: &Bench, name: &str, labels: &[&str], count: u64) {
    eventually("the end to be counted", async || {
        (scrape(bench).count(name, labels) == count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_in_the_middle_of_an_extent_is_counted_with_its_pages() {
    on_platform(&options(), Platform::Sim, async |bench| {
        let spec = SimScript::new()
            .latency(Duration::from_millis(20))
            .spec([region(page(0), 512 * PAGE)]);
        let launch = bench.api.create("dies", spec).await.unwrap();
        let call = {
            let (api, name) = (bench.api.clone(), launch.name.clone());
            let extent = Extent::normal(page(0), Contents::new(1).pages(512));
            tokio::spawn(async move { api.stage(&name, extent).await })
        };
        eventually("a page", async || {
            let launch = bench.api.get(&launch.name).await.unwrap();
            (launch.installed_pages > 0).then_some(())
        })
        .await;
        kill(bench.daemon.host(&launch), Signal::SIGKILL).unwrap();
        call.await.unwrap().unwrap_err();
        let told = over(bench, &launch.name).await;
        assert!((1..512).contains(&told.installed_pages));
        let ended = [SIM, "cause=\"host_died\""];
        counted(bench, "stagepages_launches_ended_total", &ended, 1).await;
        let scraped = scrape(bench);
        let death = [SIM, "cause=\"SIGKILL\""];
        assert_eq!(scraped.count("stagepages_host_deaths_total", &death), 1);
        assert_eq!(scraped.count(PAGES, &[SIM]), told.installed_pages);
        let aborted = [SIM, "state=\"aborted\""];
        assert_eq!(scraped.count("stagepages_launches", &aborted), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_is_counted_as_one_and_a_caller_that_left_loses_no_page() {
    on_platform(&options(), Platform::Sim, async |bench| {
        let spec = SimScript::new()
            .latency(Duration::from_millis(1))
            .spec([region(page(0), 512 * PAGE)]);
        let launch = bench.api.create("left", spec).await.unwrap();
        let call = {
            let (api, name) = (bench.api.clone(), launch.name.clone());
            let extent = Extent::normal(page(0), Contents::new(1).pages(256));
            tokio::spawn(async move { api.stage(&name, extent).await })
        };
        eventually("a page", async || {
            let launch = bench.api.get(&launch.name).await.unwrap();
            (launch.installed_pages > 0).then_some(())
        })
        .await;
        call.abort();
        eventually("all pages", async || {
            let launch = bench.api.get(&launch.name).await.unwrap();
            (launch.installed_pages == 256).then_some(())
        })
        .await;
        counted(bench, PAGES, &[SIM], 256).await;
        let left = [
            "method=\"stagepages.v1.LaunchService/StagePages\"",
            "code=\"Cancelled\"",
        ];
        counted(bench, "stagepages_rpc_seconds_count", &left, 1).await;
        bench.api.abort(&launch.name).await.unwrap();
        let ended = [SIM, "cause=\"requested\""];
        counted(bench, "stagepages_launches_ended_total", &ended, 1).await;
        assert_eq!(
            scrape(bench).sum("stagepages_host_deaths_total", &[]),
            Some(0.0)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_counts_from_zero_and_what_launches_install_from_then_on() {
    let bench = Bench::start(&options(), Platform::Sim).await;
    let mut bench = bench.unwrap();
    let launch = bench.launch("adopted").await;
    let extent = |first, pages| Extent::normal(page(first), Contents::new(first).pages(pages));
    bench.api.stage(&launch.name, extent(0, 40)).await.unwrap();
    let before = scrape(&bench);
    assert_eq!(before.count(PAGES, &[SIM]), 40);
    renew_daemon(&mut bench).await;
    let adopted = eventually("the adoption", async || {
        let scraped = scrape(&bench);
        (scraped.count("stagepages_hosts_adopted_total", &[SIM]) == 1).then_some(scraped)
    })
    .await;
    assert_eq!(adopted.count(PAGES, &[SIM]), 0);
    let epoch = |scraped: &stagepages_tests::Scrape| scraped.count("stagepages_daemon_epoch", &[]);
    assert!(epoch(&adopted) > epoch(&before));
    bench.api.stage(&launch.name, extent(100, 5)).await.unwrap();
    let told = bench.api.get(&launch.name).await.unwrap();
    assert_eq!(told.installed_pages, 45);
    assert_eq!(scrape(&bench).count(PAGES, &[SIM]), 5);
    bench.end().await;
}
