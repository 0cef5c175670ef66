//! Numbers of pages and calls.
use stagepages_proto::v1::{PageType, Platform};
use stagepages_tests::{
    Bench, Contents, DaemonOptions, Extent, Key, PAGE, SimScript, on_platform, page, refused,
    region,
};

use super::{platform, scrape};

const PAGES: &str = "stagepages_installed_pages_total";
const BYTES: &str = "stagepages_installed_bytes_total";

async fn on_both(test: impl AsyncFn(&Bench)) {
    for platform in [Platform::Sim, Platform::Kvm] {
        on_platform(&DaemonOptions::new().metrics(), platform, &test).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_bytes_are_those_that_the_api_tells_by_type() {
    on_both(async |bench| {
        let on = platform(bench);
        let launch = bench.launch("counted").await;
        assert_eq!(scrape(bench).sum(PAGES, &[on]), Some(0.0));
        // Long enough for two threads, where there are some.
        let long = Extent::normal(page(0), Contents::new(1).pages(512));
        let key = Key::name("once").request(&launch.name, long);
        for _ in 0..2 {
            // The second time is a repeat, and installs nothing.
            bench.api.stage_request(key.clone()).await.unwrap();
        }
        let zeros = Extent::length(page(600), PageType::Zero, 7 * PAGE);
        let zeros = bench.api.stage(&launch.name, zeros).await;
        let secret = Extent::data(page(700), PageType::Unmeasured, Contents::new(2).pages(3));
        let secret = bench.api.stage(&launch.name, secret).await;
        let told = bench.api.get(&launch.name).await.unwrap().installed_pages;
        let scraped = scrape(bench);
        let count = |page_type: &str| {
            let page_type = format!("page_type=\"{page_type}\"");
            scraped.count(PAGES, &[on, &page_type])
        };
        assert_eq!(count("normal"), 512);
        assert_eq!(count("zero"), if zeros.is_ok() { 7 } else { 0 });
        assert_eq!(count("unmeasured"), if secret.is_ok() { 3 } else { 0 });
        assert_eq!(scraped.count(PAGES, &[on]), told);
        assert_eq!(scraped.count(BYTES, &[on]), told * PAGE);
        let calls = 1 + u64::from(zeros.is_ok()) + u64::from(secret.is_ok());
        let observed = scraped.count("stagepages_page_install_seconds_count", &[on]);
        assert_eq!(observed, calls);
        for cause in ["copy", "ioctl", "hash", "other"] {
            let cause = format!("cause=\"{cause}\"");
            let spent =
                |what: &str| scraped.sum(&format!("stagepages_wait_seconds_{what}"), &[on, &cause]);
            assert_eq!(
                scraped.count("stagepages_wait_seconds_count", &[on, &cause]),
                calls
            );
            assert!(spent("sum") > Some(0.0), "{cause}");
        }
        // The repeat waited for its turn in the host, too.
        let queue = [on, "cause=\"queue\""];
        assert!(scraped.count("stagepages_wait_seconds_count", &queue) > calls);
        let staging = [on, "state=\"staging\""];
        assert_eq!(scraped.count("stagepages_launches", &staging), 1);
        let method = "method=\"stagepages.v1.LaunchService/StagePages\"";
        let ok = [method, "code=\"Ok\""];
        assert_eq!(
            scraped.count("stagepages_rpc_seconds_count", &ok),
            calls + 1
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn short_counts_and_refusals_are_told_by_reason_and_change_no_count_of_pages() {
    on_both(async |bench| {
        let on = platform(bench);
        let launch = bench.launch("short").await;
        let extent = |first, pages| Extent::normal(page(first), Contents::new(first).pages(pages));
        bench.api.stage(&launch.name, extent(5, 1)).await.unwrap();
        let short = bench.api.stage(&launch.name, extent(3, 4)).await.unwrap();
        assert_eq!(short.installed_pages, 2);
        for first in [3, 5] {
            let again = bench.api.stage(&launch.name, extent(first, 1)).await;
            refused(again, "ALREADY_INSTALLED");
        }
        refused(bench.api.get("launches/none").await, "LAUNCH_NOT_FOUND");
        let scraped = scrape(bench);
        assert_eq!(scraped.count("stagepages_short_counts_total", &[on]), 1);
        assert_eq!(scraped.count(PAGES, &[on]), 3);
        let refusals = |method: &str, reason: &str| {
            let method = format!("method=\"stagepages.v1.LaunchService/{method}\"");
            let reason = format!("reason=\"{reason}\"");
            scraped.count("stagepages_refusals_total", &[&method, &reason])
        };
        assert_eq!(refusals("StagePages", "ALREADY_INSTALLED"), 2);
        assert_eq!(refusals("GetLaunch", "LAUNCH_NOT_FOUND"), 1);
        let names: Vec<_> = scraped.labels_of("stagepages_refusals_total").collect();
        assert!(
            names.iter().all(|labels| !labels.contains("none")),
            "{names:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_firmware_and_the_kernel_said_is_counted_by_its_own_word() {
    on_platform(
        &DaemonOptions::new().metrics(),
        Platform::Sim,
        async |bench| {
            use stagepages_proto::v1::sim_fault::Effect;
            let spec = SimScript::new()
                .fault(page(3), 1, Effect::FirmwareStatus(0x1a))
                .spec([region(page(0), 16 * PAGE)]);
            let launch = bench.api.create("refused", spec).await.unwrap();
            let extent = Extent::normal(page(0), Contents::new(1).pages(8));
            bench.api.stage(&launch.name, extent).await.unwrap_err();
            let told = bench.api.get(&launch.name).await.unwrap();
            let scraped = scrape(bench);
            let status = ["platform=\"sim\"", "status=\"0x1a\""];
            assert_eq!(
                scraped.count("stagepages_firmware_errors_total", &status),
                1
            );
            let errno = ["platform=\"sim\"", "errno=\"EIO\""];
            assert_eq!(scraped.count("stagepages_kernel_errors_total", &errno), 1);
            // Pages before the one that was refused are installed, although the launch is over.
            assert_eq!(told.installed_pages, 3);
            assert_eq!(scraped.count(PAGES, &["platform=\"sim\""]), 3);
        },
    )
    .await;
}
