//! The table of page types, platform by platform: what each takes, leaves in memory and refuses.
use super::on_every_platform;
use bytes::Bytes;
use stagepages_proto::v1::PageType;
use stagepages_tests::{Bench, Contents, Extent, PAGE, page, refused, snapshot};

#[tokio::test(flavor = "multi_thread")]
async fn each_type_takes_its_sources_and_no_other() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let mut contents = Contents::new(21);
        let two = contents.pages(2);
        // A table of no leaves is right on every processor.
        let table = Bytes::from(vec![0; 4096]);
        let length = |number, page_type| Extent::length(page(number), page_type, 2 * PAGE);
        let data =
            |number, page_type, bytes: &Bytes| Extent::data(page(number), page_type, bytes.clone());

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
        if bench.abilities().page_types.contains(&PageType::Cpuid) {
            taken.extend([
                (length(8, PageType::Secrets), 2),
                (data(10, PageType::Cpuid, &table), 1),
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
                (data(100, PageType::Cpuid, &table), "UNSUPPORTED_PAGE_TYPE"),
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

        bench.assert_holds(&launch, page(0), &two);
        bench.assert_holds(&launch, page(2), &[0; 4 * 4096]);
        bench.assert_holds(&launch, page(6), &two);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_info_tells_what_the_platform_can_have() {
    on_every_platform(async |bench: &Bench| {
        let (info, abilities) = (bench.info().await, bench.abilities());
        let types: Vec<_> = info.page_types().collect();
        assert_eq!(types, abilities.page_types);
        assert_eq!(info.confidential, abilities.confidential);
        assert_eq!(info.verifies_contents, abilities.open_memory);
        assert!(
            abilities.digest_bytes.contains(&info.launch_digest_bytes),
            "{info:?}"
        );
    })
    .await;
}
