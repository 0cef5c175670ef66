//! Short counts and ALREADY_INSTALLED: how many, what stopped it, and whether that is what the caller wanted anyway.
use super::on_every_platform;
use bytes::Bytes;
use stagepages_proto::v1::{PageType, StagePagesResponse, StageStop};
use stagepages_tests::{Bench, Contents, Extent, PAGE, page, refused, snapshot};

fn short(
    installed_pages: u64,
    stop_at: u64,
    page_type: PageType,
    identical_pages: u64,
) -> StagePagesResponse {
    let gpa = page(stop_at).get();
    let stop = StageStop {
        gpa,
        page_type: page_type.into(),
        identical: identical_pages > 0,
        identical_pages,
    };
    StagePagesResponse {
        installed_pages,
        next_gpa: gpa,
        stop: Some(stop),
    }
}

fn slice(data: &Bytes, first: usize, pages: usize) -> Bytes {
    data.slice(first * 4096..(first + pages) * 4096)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_count_names_the_page_that_stopped_it() {
    on_every_platform(async |bench: &Bench| {
        let name = bench.launch("vm").await.name;
        let data = Contents::new(31).pages(8);
        let other = Contents::new(32).pages(8);
        // Pages 4 and 5 are there, 6 and 7 are not.
        bench
            .api
            .stage(&name, Extent::normal(page(4), slice(&data, 4, 2)))
            .await
            .unwrap();

        let answer = bench
            .api
            .stage(&name, Extent::normal(page(2), slice(&other, 2, 4)))
            .await
            .unwrap();
        assert_eq!(answer, short(2, 4, PageType::Normal, 0));
        let answer = bench
            .api
            .stage(&name, Extent::normal(page(0), data.clone()))
            .await
            .unwrap();
        assert_eq!(
            answer,
            short(2, 2, PageType::Normal, 0),
            "the pages of the other caller differ"
        );
        snapshot(&bench.api, &name).await;

        // The same bytes: identical as far as the extent and what is installed go, and not beyond.
        let answer = bench
            .api
            .stage(&name, Extent::normal(page(6), slice(&data, 6, 1)))
            .await
            .unwrap();
        assert_eq!((answer.installed_pages, answer.stop), (1, None));
        let whole = [slice(&data, 0, 2), slice(&other, 2, 2), slice(&data, 4, 4)].concat();
        let refusal = refused(
            bench.api.stage(&name, Extent::normal(page(0), whole)).await,
            "ALREADY_INSTALLED",
        );
        refusal.at(page(0)).installed(0);
        assert_eq!(
            (refusal.meta("identical"), refusal.number("identical_pages")),
            ("true", 7)
        );
        assert_eq!(refusal.meta("page_type"), "NORMAL");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_installed_is_already_installed() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let data = Contents::new(33).pages(4);
        let mut half = data.to_vec();
        half[2 * 4096 + 4095] ^= 1;
        bench
            .api
            .stage(&launch.name, Extent::normal(page(10), data.clone()))
            .await
            .unwrap();
        let before = snapshot(&bench.api, &launch.name).await;

        for (bytes, identical_pages) in [
            (data.clone(), 4),
            (Bytes::from(half), 2),
            (Contents::new(34).pages(4), 0),
        ] {
            let refusal = refused(
                bench
                    .api
                    .stage(&launch.name, Extent::normal(page(10), bytes))
                    .await,
                "ALREADY_INSTALLED",
            );
            refusal.at(page(10)).installed(0).state("STAGING");
            assert_eq!(refusal.number("identical_pages"), identical_pages);
            assert_eq!(
                refusal.meta("identical"),
                if identical_pages > 0 { "true" } else { "false" }
            );
        }
        assert_eq!(snapshot(&bench.api, &launch.name).await, before);
        bench.assert_holds(&launch, page(10), &data);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_type_counts_as_much_as_the_bytes() {
    on_every_platform(async |bench: &Bench| {
        let name = bench.launch("vm").await.name;
        bench
            .api
            .stage(&name, Extent::length(page(4), PageType::Zero, PAGE))
            .await
            .unwrap();
        bench
            .api
            .stage(&name, Extent::length(page(5), PageType::Normal, PAGE))
            .await
            .unwrap();

        // Zeros all of them, but not of one type.
        let answer = bench
            .api
            .stage(&name, Extent::length(page(3), PageType::Normal, 3 * PAGE))
            .await
            .unwrap();
        assert_eq!(answer, short(1, 4, PageType::Zero, 0));
        let refusal = refused(
            bench
                .api
                .stage(&name, Extent::length(page(4), PageType::Zero, 2 * PAGE))
                .await,
            "ALREADY_INSTALLED",
        );
        assert_eq!(
            (refusal.meta("page_type"), refusal.number("identical_pages")),
            ("ZERO", 1)
        );

        // A run of zeros and zeros as data are the same contents.
        let refusal = refused(
            bench
                .api
                .stage(&name, Extent::normal(page(5), vec![0; 4096]))
                .await,
            "ALREADY_INSTALLED",
        );
        assert_eq!(
            (refusal.meta("page_type"), refusal.number("identical_pages")),
            ("NORMAL", 1)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_that_are_nobodys_business_are_not_compared() {
    on_every_platform(async |bench: &Bench| {
        let name = bench.launch("vm").await.name;
        bench
            .api
            .stage(
                &name,
                Extent::data(page(1), PageType::Unmeasured, Contents::new(35).pages(2)),
            )
            .await
            .unwrap();

        // Any guess is as good as any other.
        for seed in [35, 36] {
            let guess = Extent::data(page(1), PageType::Unmeasured, Contents::new(seed).pages(2));
            let refusal = refused(bench.api.stage(&name, guess).await, "ALREADY_INSTALLED");
            assert_eq!(
                (refusal.meta("identical"), refusal.number("identical_pages")),
                ("true", 2)
            );
        }
        let refusal = refused(
            bench
                .api
                .stage(&name, Extent::normal(page(1), Contents::new(35).pages(2)))
                .await,
            "ALREADY_INSTALLED",
        );
        assert_eq!(
            (refusal.meta("page_type"), refusal.meta("identical")),
            ("UNMEASURED", "false")
        );

        if bench.abilities().page_types.contains(&PageType::Secrets) {
            bench
                .api
                .stage(&name, Extent::length(page(8), PageType::Secrets, PAGE))
                .await
                .unwrap();
            let answer = bench
                .api
                .stage(&name, Extent::length(page(7), PageType::Secrets, 3 * PAGE))
                .await
                .unwrap();
            assert_eq!(answer, short(1, 8, PageType::Secrets, 1));
        }
    })
    .await;
}
