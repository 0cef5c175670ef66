//! Bounds that an operator sets: launches, memory, waiting calls. Each is advertised, and each refusal says which it was.
use stagepages_proto::v1::{PageType, Platform};
use stagepages_tests::{
    Bench, DaemonOptions, Extent, PAGE, Refusal, Slow, on_platform, page, refused, region,
    snapshot, spec,
};

#[tokio::test(flavor = "multi_thread")]
async fn more_launches_than_the_limit_are_refused_until_one_is_deleted() {
    let options = DaemonOptions::new().config("max_launches = 2");
    on_platform(&options, Platform::Sim, async |bench: &Bench| {
        assert_eq!(bench.api.node_info().await.limits.unwrap().max_launches, 2);
        bench.launch("a").await;
        bench.launch("b").await;
        let region = [region(page(0), PAGE)];
        refused(
            bench.api.create("c", spec(Platform::Sim, region)).await,
            "NO_CAPACITY",
        );
        // Ended ones count until they are deleted.
        bench.api.abort("launches/a").await.unwrap();
        refused(
            bench.api.create("c", spec(Platform::Sim, region)).await,
            "NO_CAPACITY",
        );
        bench.api.delete("launches/a").await.unwrap();
        bench.launch("c").await;
        // A repeat of a create is no new launch.
        bench.launch("c").await;
        for name in ["launches/b", "launches/c"] {
            bench.api.abort(name).await.unwrap();
            bench.api.delete(name).await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caps_on_a_launch_are_the_configured_ones() {
    let options = DaemonOptions::new()
        .config("max_regions = 3")
        .config("max_memory_bytes = 1048576")
        .config("chunk_pages = 8");
    on_platform(&options, Platform::Sim, async |bench: &Bench| {
        let limits = bench.api.node_info().await.limits.unwrap();
        assert_eq!(
            (
                limits.max_regions,
                limits.max_memory_bytes,
                limits.chunk_pages
            ),
            (3, 1 << 20, 8)
        );
        let regions = |count: u64, pages: u64| {
            (0..count)
                .map(|n| region(page(n << 20), pages * PAGE))
                .collect::<Vec<_>>()
        };
        refused(
            bench
                .api
                .create("", spec(Platform::Sim, regions(4, 1)))
                .await,
            "INVALID_LAUNCH",
        )
        .blames("spec.regions");
        refused(
            bench
                .api
                .create("", spec(Platform::Sim, regions(2, 129)))
                .await,
            "NO_CAPACITY",
        );
        bench
            .api
            .create("", spec(Platform::Sim, regions(2, 128)))
            .await
            .unwrap();
    })
    .await;
}

async fn too_many_calls(platform: Platform) {
    let options = DaemonOptions::new().config("max_pending_calls = 2");
    on_platform(&options, platform, async |bench: &Bench| {
        assert_eq!(
            bench
                .api
                .node_info()
                .await
                .limits
                .unwrap()
                .max_pending_calls,
            2
        );
        let slow = Slow::launch(bench, "vm").await;
        let part = slow.pages / 8;
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..8 {
            let extent = Extent::length(page(number * part), PageType::Normal, part * PAGE);
            let (api, name) = (bench.api.clone(), slow.launch.name.clone());
            calls.spawn(async move { api.stage(&name, extent).await });
        }
        let mut installed = 0;
        let mut turned_away = 0;
        while let Some(answer) = calls.join_next().await {
            match answer.unwrap() {
                Ok(answer) => installed += answer.installed_pages,
                Err(status) => {
                    let refusal = Refusal::of(&status);
                    assert_eq!(refusal.reason, "QUEUE_FULL", "{refusal:?}");
                    refusal.has_retry().installed(0);
                    turned_away += 1;
                }
            }
        }
        assert!(turned_away > 0, "two at a time, of eight that come at once");
        assert_eq!(installed, (8 - turned_away) * part);
        snapshot(&bench.api, &slow.launch.name).await;
        assert_eq!(
            bench
                .api
                .get(&slow.launch.name)
                .await
                .unwrap()
                .installed_pages,
            installed
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_than_may_wait_are_turned_away_untouched() {
    too_many_calls(Platform::Sim).await;
    too_many_calls(Platform::Kvm).await;
}
