//! The page in Chromium: what stands on it, what it looks like, and that it renews itself. Run by `.ci/run status`, which brings the browser.
//!
//! A launch that is half staged stands still, so that the numbers on the page and those of the API can be compared one by one; another one moves.

use std::{path::Path, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use stagepages_proto::v1::{self, LaunchSpec, PageType, image_service_client::ImageServiceClient};
use stagepages_tests::{
    Api, Contents, Daemon, DaemonOptions, Extent, PAGE, SimScript, binaries, eventually, halt,
    page, region,
};

/// Where npm has put playwright-core.
const MODULES: &str = "STAGEPAGES_BROWSER_MODULES";

const GIB: u64 = 1 << 30;

/// Runs a part of the browser's script.
async fn browse(daemon: &Daemon, part: &str) {
    let modules = std::env::var(MODULES)
        .unwrap_or_else(|_unset| panic!("{MODULES} is not set: run .ci/run status"));
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = here.join("../target/status");
    let ended = tokio::process::Command::new("node")
        .arg(here.join("status/browser.mjs"))
        .args([part, &modules])
        .arg(daemon.status_socket())
        .arg(daemon.socket())
        .arg(&binaries().stagectl)
        .arg(out)
        .stdin(Stdio::null())
        .status();
    let ended = ended.await.unwrap();
    assert!(ended.success(), "{part}: {ended}");
}

async fn stored(api: &Api, seed: u64, pages: u64) {
    use sha2::Digest as _;
    let bytes = Contents::new(seed).pages(pages);
    let digest = sha2::Sha256::digest(&bytes);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let write = v1::WriteImageRequest {
        name: format!("images/sha256:{digest}"),
        size: bytes.len() as u64,
        upload_id: "u".to_owned(),
        offset: 0,
        content: Some(v1::write_image_request::Content::Data(bytes)),
    };
    let mut images = ImageServiceClient::new(api.channel.clone());
    images
        .write_image(tokio_stream::iter([write]))
        .await
        .unwrap();
}

/// A launch that is half staged: contents here, zeros there, and the odd page.
async fn half_staged(api: &Api) {
    let labels = [
        ("team", "payments"),
        ("note", "<b>not bold</b> & \"quoted\""),
    ];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let low = region(page(0), GIB / 16);
    let high = region(page((4 * GIB - GIB / 64) / PAGE), GIB / 64);
    let spec = LaunchSpec {
        planned_pages: 8192,
        vcpus: 4,
        labels: labels.into(),
        ..SimScript::new().spec([low, high])
    };
    api.create("checkout-7f9c", spec).await.unwrap();
    let name = "launches/checkout-7f9c";
    let mut contents = Contents::new(9);
    for (at, pages) in [
        (256, 450),
        (706, 450),
        (2048, 500),
        (2548, 200),
        (4096, 448),
    ] {
        let extent = Extent::normal(page(at), contents.pages(pages));
        api.stage(name, extent).await.unwrap();
    }
    let rest = [
        (5000, 1900, PageType::Zero),
        (8000, 128, PageType::Unmeasured),
        (8200, 1, PageType::Secrets),
    ];
    for (at, pages, kind) in rest {
        let extent = if kind == PageType::Unmeasured {
            Extent::data(page(at), kind, contents.pages(pages))
        } else {
            Extent::length(page(at), kind, pages * PAGE)
        };
        api.stage(name, extent).await.unwrap();
    }
    let high = page((4 * GIB - 16 * PAGE) / PAGE);
    let firmware = Extent::normal(high, contents.pages(16));
    api.stage(name, firmware).await.unwrap();
}

/// What is over, what is done, what was refused.
async fn others(api: &Api) {
    for (id, pages) in [("ledger-old", 3), ("search-2b", 64)] {
        let spec = SimScript::new().spec([region(page(0), 256 * PAGE)]);
        let launch = api.create(id, spec).await.unwrap();
        let pages = Contents::new(pages).pages(pages);
        api.stage(&launch.name, Extent::normal(page(0), pages))
            .await
            .unwrap();
    }
    api.finish("launches/search-2b", Vec::new()).await.unwrap();
    api.abort("launches/ledger-old").await.unwrap();
    api.get("launches/nobody-made-this").await.unwrap_err();
    let again = Extent::normal(page(256), Contents::new(3).pages(1));
    api.stage("launches/checkout-7f9c", again)
        .await
        .unwrap_err();
    let outside = Extent::length(page(1 << 30), PageType::Zero, PAGE);
    api.stage("launches/checkout-7f9c", outside)
        .await
        .unwrap_err();
    stored(api, 11, 300).await;
    stored(api, 12, 33).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium, node and playwright-core: .ci/run status"]
async fn a_browser_shows_what_the_api_says_and_follows_it() {
    let daemon = Daemon::start(&DaemonOptions::new().without_tcp());
    let api = Api::unix(daemon.socket()).await;
    half_staged(&api).await;
    others(&api).await;
    browse(&daemon, "still").await;

    let script = SimScript::new().latency(Duration::from_millis(10));
    for id in ["moving-1", "moving-2", "moving-3"] {
        let spec = LaunchSpec {
            planned_pages: 30_000,
            ..script.clone().spec([region(page(0), 32_768 * PAGE)])
        };
        api.create(id, spec).await.unwrap();
    }
    let mut calls = Vec::new();
    for id in ["moving-1", "moving-2", "moving-3"] {
        // As a client does it: one call behind another.
        let (own, name) = (api.clone(), format!("launches/{id}"));
        calls.push(tokio::spawn(async move {
            for nth in 0..30 {
                let extent = Extent::length(page(nth * 1000), PageType::Zero, 1000 * PAGE);
                if own.stage(&name, extent).await.is_err() {
                    return;
                }
            }
        }));
        eventually("a place in the queue", async || {
            api.get(&format!("launches/{id}")).await.unwrap().queue
        })
        .await;
    }
    browse(&daemon, "moving").await;

    let host = api.get("launches/checkout-7f9c").await.unwrap().host_pid;
    let host = Pid::from_raw(host.try_into().unwrap());
    halt(host);
    browse(&daemon, "hung").await;
    kill(host, Signal::SIGCONT).unwrap();
    for id in ["moving-1", "moving-2", "moving-3"] {
        api.abort(&format!("launches/{id}")).await.unwrap();
    }
    for call in calls {
        call.await.unwrap();
    }
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium, node and playwright-core: .ci/run status"]
async fn a_browser_leads_an_overseer_to_the_launch_of_a_device() {
    let dir = tempfile::tempdir().unwrap();
    let options = DaemonOptions::new()
        .without_tcp()
        .config("devices = [\"sim=1\"]")
        .config(&format!("device_dir = {:?}", dir.path().join("devices")));
    let daemon = Daemon::start(&options);
    let device = Api::unix(&dir.path().join("devices/sim-0/api.sock")).await;
    let spec = SimScript::new().spec([region(page(0), 256 * PAGE)]);
    let launch = device.create("workload", spec).await.unwrap();
    let extent = Extent::normal(page(0), Contents::new(1).pages(40));
    device.stage(&launch.name, extent).await.unwrap();
    browse(&daemon, "overseen").await;
    daemon.stop();
}
