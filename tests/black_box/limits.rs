//! Bounds that an operator sets: launches and memory. Each is advertised, and each refusal says which it was.
use stagepages_client::plan::{MOST_REGIONS, USUAL_REGIONS};
use stagepages_proto::v1::Platform;
use stagepages_tests::{Bench, DaemonOptions, PAGE, on_platform, page, refused, region, spec};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_takes_as_many_regions_as_plans_are_checked_for() {
    on_platform(
        &DaemonOptions::new(),
        Platform::Sim,
        async |bench: &Bench| {
            let limits = bench.api.node_info().await.limits.unwrap();
            assert_eq!(limits.max_regions as usize, USUAL_REGIONS);
            let create = async |count: usize| {
                let regions = (0..count as u64).map(|n| region(page(n << 20), PAGE));
                let regions: Vec<_> = regions.collect();
                bench.api.create("", spec(Platform::Sim, regions)).await
            };
            create(USUAL_REGIONS).await.unwrap();
            refused(create(USUAL_REGIONS + 1).await, "INVALID_LAUNCH").blames("spec.regions");
        },
    )
    .await;
    let most = DaemonOptions::new().config(&format!("max_regions = {MOST_REGIONS}"));
    on_platform(&most, Platform::Sim, async |bench: &Bench| {
        let limits = bench.api.node_info().await.limits.unwrap();
        assert_eq!(limits.max_regions as usize, MOST_REGIONS);
        let regions = (0..MOST_REGIONS as u64).map(|n| region(page(n << 20), PAGE));
        let spec = spec(Platform::Sim, regions.collect::<Vec<_>>());
        bench.api.create("", spec).await.unwrap();
    })
    .await;
}
