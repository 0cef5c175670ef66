//! The table of page types, platform by platform: what each takes, leaves in memory and refuses.
use crate::on_every_platform;
use stagepages_proto::v1::{PageType, Platform};
use stagepages_tests::{Bench, Contents, Extent, PAGE, page, refused, snapshot};

#[tokio::test(flavor = "multi_thread")]
async fn each_type_takes_its_sources_and_no_other() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let mut contents = Contents::new(21);
        let one = contents.pages(1);
        let two = contents.pages(2);
        let confidential_types = bench.platform != Platform::Kvm;
        let length = |number, page_type| Extent::length(page(number), page_type, 2 * PAGE);
        let data = |number, page_type, bytes: &bytes::Bytes| {
            Extent::data(page(number), page_type, bytes.clone())
        };

        let mut taken = vec![
            (data(0, PageType::Normal, &two), 2),
            (length(2, PageType::Normal), 2),
            (length(4, PageType::Zero), 2),
            (data(6, PageType::Unmeasured, &two), 2),
        ];
        let mut refusals = vec![
            (data(100, PageType::Zero, &two), "INVALID_EXTENT"),
            (length(100, PageType::Unmeasured), "INVALID_EXTENT"),
        ];
        if confidential_types {
            taken.extend([
                (length(8, PageType::Secrets), 2),
                (data(10, PageType::Cpuid, &one), 1),
            ]);
            refusals.extend([
                (data(100, PageType::Secrets, &two), "INVALID_EXTENT"),
                (
                    Extent::length(page(100), PageType::Cpuid, PAGE),
                    "INVALID_EXTENT",
                ),
                (data(100, PageType::Cpuid, &two), "INVALID_EXTENT"),
            ]);
        } else {
            refusals.extend([
                (length(100, PageType::Secrets), "UNSUPPORTED_PAGE_TYPE"),
                (data(100, PageType::Cpuid, &one), "UNSUPPORTED_PAGE_TYPE"),
            ]);
        }
        for (extent, pages) in taken {
            let answer = bench
                .api
                .stage(&launch.name, extent.clone())
                .await
                .unwrap_or_else(|status| panic!("{extent:?}: {status:?}"));
            assert_eq!(
                (answer.installed_pages, answer.stop),
                (pages, None),
                "{extent:?}"
            );
        }
        let before = snapshot(&bench.api, &launch.name).await;
        for (extent, reason) in refusals {
            refused(bench.api.stage(&launch.name, extent).await, reason);
        }
        assert_eq!(snapshot(&bench.api, &launch.name).await, before);

        let memory = bench.memory(&launch);
        assert_eq!(memory.read(page(0), 8192), two);
        assert_eq!(memory.read(page(2), 4 * 4096), vec![0; 4 * 4096]);
        assert_eq!(memory.read(page(6), 8192), two);
        if confidential_types {
            assert_eq!(memory.read(page(10), 4096), one);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_info_lists_the_types_that_a_platform_takes() {
    on_every_platform(async |bench: &Bench| {
        let info = bench.api.node_info().await;
        let types: Vec<_> = info
            .platforms
            .iter()
            .find(|info| info.platform() == bench.platform)
            .unwrap()
            .page_types()
            .collect();
        let everywhere = [PageType::Normal, PageType::Zero, PageType::Unmeasured];
        let on_sim = [PageType::Secrets, PageType::Cpuid];
        assert!(
            everywhere.iter().all(|page_type| types.contains(page_type)),
            "{types:?}"
        );
        assert!(
            on_sim
                .iter()
                .all(|page_type| types.contains(page_type) == (bench.platform == Platform::Sim)),
            "{types:?}"
        );
    })
    .await;
}
