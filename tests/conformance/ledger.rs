//! ListInstalledPages: runs, orders, pages of the listing, and hashes that somebody else can compute.
use super::on_every_platform;
use stagepages_proto::v1::{InstalledRun, LedgerOrder, ListInstalledPagesRequest, PageType};
use stagepages_tests::{
    Bench, Contents, Extent, PAGE, ledger, page, page_hashes, refused, region, spec,
};

/// First page, pages, type, ordinal of the first.
fn outline(runs: &[InstalledRun]) -> Vec<(u64, u64, PageType, u64)> {
    runs.iter()
        .map(|run| {
            (
                run.gpa / PAGE,
                run.pages,
                run.page_type(),
                run.first_ordinal,
            )
        })
        .collect()
}

/// Installs pages 10 and 11, 2 and 3, 4, and then 12, each with what its type needs.
async fn staged(bench: &Bench) -> String {
    let name = bench.launch("vm").await.name;
    let mut contents = Contents::new(81);
    let extents = [
        Extent::normal(page(10), contents.pages(2)),
        Extent::length(page(2), PageType::Zero, 2 * PAGE),
        Extent::data(page(4), PageType::Unmeasured, contents.pages(1)),
        Extent::normal(page(12), contents.pages(1)),
    ];
    for extent in extents {
        bench.api.stage(&name, extent).await.unwrap();
    }
    name
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_is_listed_in_either_order_at_any_page_size() {
    on_every_platform(async |bench: &Bench| {
        let name = staged(bench).await;
        let by_gpa = [
            (2, 2, PageType::Zero, 2),
            (4, 1, PageType::Unmeasured, 4),
            (10, 2, PageType::Normal, 0),
            (12, 1, PageType::Normal, 5),
        ];
        let by_installation = [by_gpa[2], by_gpa[0], by_gpa[1], by_gpa[3]];
        for page_size in [0, 1, 2, 3, 1000, i32::MAX] {
            assert_eq!(
                outline(&ledger(&bench.api, &name, LedgerOrder::Gpa, page_size).await),
                by_gpa
            );
            assert_eq!(
                outline(&ledger(&bench.api, &name, LedgerOrder::Unspecified, page_size).await),
                by_gpa
            );
            assert_eq!(
                outline(&ledger(&bench.api, &name, LedgerOrder::Installation, page_size).await),
                by_installation
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hashes_are_of_the_bytes_that_were_installed() {
    on_every_platform(async |bench: &Bench| {
        let name = staged(bench).await;
        let mut contents = Contents::new(81);
        let (two, _unmeasured, one) = (contents.pages(2), contents.pages(1), contents.pages(1));
        let hash = |bytes: &[u8]| Some(*blake3::hash(bytes).as_bytes());
        let expected = [
            (page(2), hash(&[0; 4096])),
            (page(3), hash(&[0; 4096])),
            // A hash of what only the guest may know would let others test their guesses.
            (page(4), None),
            (page(10), hash(&two[..4096])),
            (page(11), hash(&two[4096..])),
            (page(12), hash(&one)),
        ];
        for order in [LedgerOrder::Gpa, LedgerOrder::Installation] {
            let hashes = page_hashes(&ledger(&bench.api, &name, order, 1).await);
            assert_eq!(hashes.into_iter().collect::<Vec<_>>(), expected);
        }
        // Unless asked for, none is sent.
        let request = ListInstalledPagesRequest {
            name,
            ..ListInstalledPagesRequest::default()
        };
        let answer = bench
            .api
            .launches
            .clone()
            .list_installed_pages(request)
            .await
            .unwrap()
            .into_inner();
        assert!(
            answer.runs.iter().all(|run| run.page_hashes.is_empty()),
            "{answer:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_arrive_between_two_answers_are_neither_missed_nor_repeated() {
    on_every_platform(async |bench: &Bench| {
        let name = staged(bench).await;
        let mut client = bench.api.launches.clone();
        let order = LedgerOrder::Installation.into();
        let mut request = ListInstalledPagesRequest {
            name: name.clone(),
            order,
            page_size: 3,
            ..ListInstalledPagesRequest::default()
        };
        let first = client
            .list_installed_pages(request.clone())
            .await
            .unwrap()
            .into_inner();
        // One in front of everything, one that continues the last run.
        for number in [0, 13] {
            bench
                .api
                .stage(
                    &name,
                    Extent::normal(page(number), Contents::new(82).pages(1)),
                )
                .await
                .unwrap();
        }
        request.page_token = first.next_page_token;
        request.page_size = 0;
        let second = client
            .list_installed_pages(request)
            .await
            .unwrap()
            .into_inner();
        let pages = page_count(&first.runs) + page_count(&second.runs);
        assert_eq!((pages, second.installed_pages), (8, 8));
        assert!(second.next_page_token.is_empty());
    })
    .await;
}

fn page_count(runs: &[InstalledRun]) -> u64 {
    runs.iter().map(|run| run.pages).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_run_of_hashes_is_cut_into_answers_that_fit() {
    on_every_platform(async |bench: &Bench| {
        const PAGES: u64 = 20_000;
        let launch = bench
            .api
            .create("vm", spec(bench.platform, [region(page(0), PAGES * PAGE)]))
            .await
            .unwrap();
        let per_call = bench.api.node_info().await.limits.unwrap().max_data_bytes / PAGE;
        let mut contents = Contents::new(83);
        let mut expected = Vec::new();
        let mut next = 0;
        while next < PAGES {
            let data = contents.pages(per_call.min(PAGES - next));
            expected.extend(
                data.chunks(4096)
                    .map(|page| Some(*blake3::hash(page).as_bytes())),
            );
            next += bench
                .api
                .stage(&launch.name, Extent::normal(page(next), data))
                .await
                .unwrap()
                .installed_pages;
        }
        let request = ListInstalledPagesRequest {
            name: launch.name.clone(),
            include_hashes: true,
            ..ListInstalledPagesRequest::default()
        };
        let first = bench
            .api
            .launches
            .clone()
            .list_installed_pages(request)
            .await
            .unwrap()
            .into_inner();
        let hashes: usize = first
            .runs
            .iter()
            .map(|run| run.page_hashes.len() / 32)
            .sum();
        assert!(
            hashes <= 16384 && !first.next_page_token.is_empty(),
            "{hashes} hashes in one answer"
        );

        let listed = page_hashes(&ledger(&bench.api, &launch.name, LedgerOrder::Gpa, 0).await);
        assert_eq!(listed.into_values().collect::<Vec<_>>(), expected);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_orders_that_make_no_sense_are_malformed() {
    on_every_platform(async |bench: &Bench| {
        let name = staged(bench).await;
        let mut client = bench.api.launches.clone();
        let plain = ListInstalledPagesRequest {
            name,
            page_size: 1,
            ..ListInstalledPagesRequest::default()
        };
        for token in ["nonsense", "\u{1}", &"7".repeat(10_000)] {
            let request = ListInstalledPagesRequest {
                page_token: token.to_owned(),
                ..plain.clone()
            };
            refused(
                client.list_installed_pages(request).await,
                "MALFORMED_REQUEST",
            )
            .blames("page_token");
        }
        for order in [3, 77, -1] {
            let request = ListInstalledPagesRequest {
                order,
                ..plain.clone()
            };
            refused(
                client.list_installed_pages(request).await,
                "MALFORMED_REQUEST",
            )
            .blames("order");
        }
        // A token belongs to the order that it was made for.
        let token = client
            .list_installed_pages(plain.clone())
            .await
            .unwrap()
            .into_inner()
            .next_page_token;
        let other = ListInstalledPagesRequest {
            page_token: token,
            order: LedgerOrder::Installation.into(),
            ..plain
        };
        refused(
            client.list_installed_pages(other).await,
            "MALFORMED_REQUEST",
        )
        .blames("page_token");
    })
    .await;
}
