//! StagePages with everything that an extent cannot be: validated before the first page is touched, so nothing changes.
use super::on_every_platform;
use bytes::Bytes;
use stagepages_kvm::Gpa;
use stagepages_proto::v1::{PageType, StagePagesRequest};
use stagepages_tests::{
    Bench, Contents, Extent, PAGE, Refusal, lease_aside, page, refused, region, snapshot, spec,
};

/// A launch with two adjacent regions, a gap, and a third: pages 0 to 15, 16 to 31, and 256 to 271. Page 15 and page 256 are installed.
async fn launch(bench: &Bench) -> String {
    let regions = [
        region(page(0), 16 * PAGE),
        region(page(16), 16 * PAGE),
        region(page(256), 16 * PAGE),
    ];
    let name = bench
        .api
        .create("vm", spec(bench.platform, regions))
        .await
        .unwrap()
        .name;
    for number in [15, 256] {
        bench
            .api
            .stage(
                &name,
                Extent::normal(page(number), Contents::new(number).pages(1)),
            )
            .await
            .unwrap();
    }
    name
}

/// Asserts that BadRequest blames one of `paths`: where two fields contradict each other, either may be the one.
#[track_caller]
fn blames_any(refusal: &Refusal, paths: [&str; 2]) {
    let said = format!("{refusal:?}");
    assert!(
        paths
            .iter()
            .any(|path| said.contains(&format!("field: {path:?}"))),
        "blames neither of {paths:?}: {said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn extents_that_are_none_are_refused() {
    on_every_platform(async |bench: &Bench| {
        let name = launch(bench).await;
        let before = snapshot(&bench.api, &name).await;
        let at = |gpa: u64, length: u64| {
            Extent::length(Gpa::new(gpa), PageType::Normal, length).request(&name)
        };
        let data =
            |gpa: u64, bytes: usize| Extent::normal(Gpa::new(gpa), vec![1; bytes]).request(&name);

        let bad: [(StagePagesRequest, &str); 14] = [
            (at(1, PAGE), "gpa"),
            (at(PAGE - 1, PAGE), "gpa"),
            (data(PAGE + 8, 4096), "gpa"),
            (at(u64::MAX, PAGE), "gpa"),
            (at(0, 0), "length"),
            (at(0, 1), "length"),
            (at(0, PAGE + 1), "length"),
            (at(0, u64::MAX), "length"),
            (data(0, 0), "data"),
            (data(0, 1), "data"),
            (data(0, 4095), "data"),
            (data(0, 4097), "data"),
            (
                StagePagesRequest {
                    page_type: PageType::Zero.into(),
                    ..data(0, 4096)
                },
                "data",
            ),
            (
                StagePagesRequest {
                    page_type: PageType::Unmeasured.into(),
                    ..at(0, PAGE)
                },
                "length",
            ),
        ];
        for (request, field) in bad {
            let refusal = refused(bench.api.stage_request(request).await, "INVALID_EXTENT");
            if field == "length" {
                // Where data is missing, either is to blame.
                blames_any(&refusal, ["length", "data"]);
            } else {
                refusal.blames(field);
            }
            refusal.state("STAGING");
        }
        let both = StagePagesRequest {
            length: Some(PAGE),
            ..data(0, 4096)
        };
        let neither = StagePagesRequest {
            data: None,
            ..data(0, 4096)
        };
        for request in [both, neither] {
            blames_any(
                &refused(bench.api.stage_request(request).await, "INVALID_EXTENT"),
                ["data", "length"],
            );
        }
        // Behind the last address that 64 bits can name.
        for request in [
            at(u64::MAX - PAGE + 1, 2 * PAGE),
            data(u64::MAX - PAGE + 1, 8192),
            at(PAGE, u64::MAX - PAGE + 1),
        ] {
            refused(bench.api.stage_request(request).await, "INVALID_EXTENT");
        }
        assert_eq!(snapshot(&bench.api, &name).await, before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extent_has_to_stay_in_its_memory_region() {
    on_every_platform(async |bench: &Bench| {
        let name = launch(bench).await;
        let before = snapshot(&bench.api, &name).await;
        // First page, pages, first page outside.
        let outside = [
            (0, 17, 16),  // into the region next door
            (15, 2, 16),  // the same, over a page that is installed
            (16, 17, 32), // over the end, into nothing
            (31, 2, 32),
            (32, 1, 32),   // in the gap
            (255, 2, 255), // from the gap into a region
            (271, 2, 272),
            (272, 1, 272), // behind everything
            (0, 1 << 30, 16),
            ((1 << 40) - 1, 1, (1 << 40) - 1), // the last page that an address can name
        ];
        for (first, pages, stop) in outside {
            let zeros = Extent::length(page(first), PageType::Normal, pages * PAGE);
            let refusal = refused(bench.api.stage(&name, zeros).await, "OUTSIDE_MEMORY");
            refusal.at(page(stop)).state("STAGING");
            if pages < 32 {
                let data = Extent::normal(page(first), Contents::new(1).pages(pages));
                refused(bench.api.stage(&name, data).await, "OUTSIDE_MEMORY").at(page(stop));
            }
        }
        assert_eq!(snapshot(&bench.api, &name).await, before);

        // Each of the adjacent regions on its own is fine.
        for first in [10, 16] {
            bench
                .api
                .stage(
                    &name,
                    Extent::length(page(first), PageType::Normal, 5 * PAGE),
                )
                .await
                .unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_types_that_are_none_are_refused() {
    on_every_platform(async |bench: &Bench| {
        let name = launch(bench).await;
        let before = snapshot(&bench.api, &name).await;
        for page_type in [0, 6, 77, -1, i32::MAX, i32::MIN] {
            let request = StagePagesRequest {
                page_type,
                ..Extent::normal(page(0), vec![1; 4096]).request(&name)
            };
            refused(bench.api.stage_request(request).await, "MALFORMED_REQUEST")
                .blames("page_type");
        }
        assert_eq!(snapshot(&bench.api, &name).await, before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_limit_is_refused() {
    on_every_platform(async |bench: &Bench| {
        let name = launch(bench).await;
        let before = snapshot(&bench.api, &name).await;
        let limits = bench.api.node_info().await.limits.unwrap();
        let over = usize::try_from(limits.max_message_bytes).unwrap();
        // One byte of data more than any message may have, and eight times that.
        for bytes in [over + 1, 8 * over] {
            let data = Bytes::from(vec![1; bytes.next_multiple_of(4096)]);
            refused(
                bench.api.stage(&name, Extent::normal(page(0), data)).await,
                "MESSAGE_TOO_LARGE",
            );
        }
        assert_eq!(snapshot(&bench.api, &name).await, before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_first_page_leaves_the_launch_created() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        refused(
            bench
                .api
                .stage(&launch.name, Extent::normal(page(0), vec![1; 4095]))
                .await,
            "INVALID_EXTENT",
        )
        .state("CREATED");
        refused(
            bench
                .api
                .stage(
                    &launch.name,
                    Extent::length(page(1 << 20), PageType::Zero, PAGE),
                )
                .await,
            "OUTSIDE_MEMORY",
        )
        .state("CREATED");
        let now = bench.api.get(&launch.name).await.unwrap();
        assert_eq!(lease_aside(&now), lease_aside(&launch));
    })
    .await;
}
