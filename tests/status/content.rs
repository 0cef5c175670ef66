//! What is on the page is what the API says.

use std::time::Duration;

use stagepages_proto::v1::{
    self, ListImagesRequest, PageType, image_service_client::ImageServiceClient,
};
use stagepages_tests::{
    Contents, Daemon, DaemonOptions, Extent, PAGE, SimScript, eventually, page, region,
};

use crate::site::look;

const GIB: u64 = 1 << 30;

async fn start() -> (Daemon, stagepages_tests::Api) {
    let daemon = Daemon::start(&DaemonOptions::new().without_tcp());
    let api = stagepages_tests::Api::unix(daemon.socket()).await;
    (daemon, api)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_number_is_the_apis() {
    let (daemon, api) = start().await;
    let spec = v1::LaunchSpec {
        planned_pages: 96,
        ..SimScript::new().spec([region(page(0), GIB), region(page(1 << 20), 64 * PAGE)])
    };
    let launch = api.create("vm-1", spec).await.unwrap();
    let mut contents = Contents::new(1);
    let staged = api.stage(&launch.name, Extent::normal(page(16), contents.pages(32)));
    assert_eq!(staged.await.unwrap().installed_pages, 32);
    let zero = Extent::length(page(1 << 20), PageType::Zero, 15 * PAGE);
    api.stage(&launch.name, zero).await.unwrap();
    let secrets = Extent::length(page((1 << 20) + 20), PageType::Secrets, PAGE);
    api.stage(&launch.name, secrets).await.unwrap();

    let shown = look(&daemon, "/").await.ok();
    let node = api.node_info().await;
    let (usage, limits) = (node.usage.unwrap(), node.limits.unwrap());
    let same = [
        ("node:usage.launches", usage.launches.into()),
        ("node:usage.live_launches", usage.live_launches.into()),
        ("node:usage.images", usage.images.into()),
        ("node:usage.image_bytes", usage.image_bytes),
        ("node:limits.max_launches", limits.max_launches.into()),
        ("node:limits.max_memory_bytes", limits.max_memory_bytes),
        ("node:limits.image_quota_bytes", limits.image_quota_bytes),
        (
            "node:limits.max_queued_launches",
            limits.max_queued_launches.into(),
        ),
        ("launch:vm-1:installed_pages", 48),
    ];
    for (api, number) in same {
        assert_eq!(shown.number(api), number, "{api}");
    }
    assert!(
        shown.part("launches").contains("48 of 96 planned"),
        "{}",
        shown.part("launches")
    );
    for info in &node.platforms {
        let name = info
            .platform()
            .as_str_name()
            .trim_start_matches("PLATFORM_");
        let name = name.to_lowercase().replace('_', "-");
        let part = shown.part(&format!("platform-{name}"));
        assert_eq!(part.contains("usable"), info.available, "{part}");
        for check in &info.checks {
            assert!(shown.says(&check.subject) && shown.says(&check.found));
            assert!(check.ok || shown.says(&check.remedy), "{}", check.remedy);
        }
    }
    assert!(shown.says(&node.version));

    let shown = look(&daemon, "/launches/vm-1").await.ok();
    let pages = [
        ("normal", 32),
        ("zero", 15),
        ("unmeasured", 0),
        ("secrets", 1),
        ("cpuid", 0),
    ];
    for (kind, count) in pages {
        assert_eq!(shown.number(&format!("pages:vm-1:{kind}")), count, "{kind}");
    }
    let now = api.get(&launch.name).await.unwrap();
    assert!(shown.says(&now.uid));
    assert_eq!(
        shown.number("launch:vm-1:measured_pages"),
        now.measured_pages
    );
    // A cell of 513 for 262,208 pages.
    assert!(shown.says("A cell is 513 pages"), "{}", shown.part("map"));
    assert!(shown.says("16 of 64 pages"), "{}", shown.part("map"));
    api.abort(&launch.name).await.unwrap();
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_is_being_staged_gets_on_before_ones_eyes() {
    let (daemon, api) = start().await;
    let script = SimScript::new().latency(Duration::from_millis(5));
    let slow = script.spec([region(page(0), 4096 * PAGE)]);
    let launch = api.create("slow", slow.clone()).await.unwrap();
    api.create("behind", slow).await.unwrap();
    let stage = |name: &'static str| {
        let api = api.clone();
        let zeros = Extent::length(page(0), PageType::Zero, 1000 * PAGE);
        tokio::spawn(async move { api.stage(name, zeros).await })
    };
    let first = stage("launches/slow");
    eventually("the first page", async || {
        let launch = api.get(&launch.name).await.unwrap();
        (launch.installed_pages > 0).then_some(())
    })
    .await;
    let second = stage("launches/behind");
    eventually("a place in the queue", async || {
        api.get("launches/behind").await.unwrap().queue
    })
    .await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let before = api.get(&launch.name).await.unwrap().installed_pages;
        let shown = look(&daemon, "/data").await.ok();
        let after = api.get(&launch.name).await.unwrap().installed_pages;
        let pages = shown.number("launch:slow:installed_pages");
        assert!(
            (before..=after).contains(&pages),
            "{before} {pages} {after}"
        );
        if after < 1000 {
            assert_eq!(shown.number("launch:behind:queue.position"), 1);
            assert!(shown.number("platform:sim:queue.launches") >= 1);
            let queue = shown.part("queue");
            assert!(queue.contains("behind"), "{queue}");
            assert!(shown.part("launches").contains("of 4,096 in memory"));
        }
        if seen.last() != Some(&pages) {
            seen.push(pages);
        }
    }
    for name in ["launches/slow", "launches/behind"] {
        api.abort(name).await.unwrap();
    }
    drop((first.await.unwrap(), second.await.unwrap()));
    let shown = look(&daemon, "/?show=over").await.ok();
    assert!(shown.part("launches").contains("aborted"));
    assert!(
        look(&daemon, "/?show=live")
            .await
            .ok()
            .part("launches")
            .contains("None.")
    );
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn images_and_refusals_are_listed() {
    let (daemon, api) = start().await;
    let bytes = Contents::new(7).pages(3);
    let digest = {
        use sha2::Digest as _;
        let hash = sha2::Sha256::digest(&bytes);
        hash.iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
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
    let known = images
        .list_images(ListImagesRequest::default())
        .await
        .unwrap();
    let known = known.into_inner().images;
    assert_eq!(known.len(), 1);
    for _ in 0..3 {
        api.get("launches/not-there").await.unwrap_err();
    }
    let shown = look(&daemon, "/").await.ok();
    assert_eq!(
        shown.number(&format!("image:sha256:{digest}:size")),
        known[0].size
    );
    assert!(
        shown.part("images").contains("12 KiB"),
        "{}",
        shown.part("images")
    );
    let refused = shown.part("refused");
    assert!(
        refused.contains("GetLaunch not-there LAUNCH_NOT_FOUND there is no launch not-there"),
        "{refused}"
    );
    // Three of them, in one line.
    assert_eq!(refused.matches("LAUNCH_NOT_FOUND").count(), 1);
    assert!(
        refused.contains("ago 3") || refused.contains("now 3"),
        "{refused}"
    );
    daemon.stop();
}
