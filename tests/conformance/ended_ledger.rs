//! The ledger of a launch that is over: the same as before, in either order, in whatever pieces it is asked for.
use super::on_every_platform;
use stagepages_proto::v1::{InstalledRun, LedgerOrder, ListInstalledPagesRequest, PageType};
use stagepages_tests::{Bench, Contents, Extent, PAGE, ledger, over, page, refused};

const ORDERS: [LedgerOrder; 2] = [LedgerOrder::Gpa, LedgerOrder::Installation];

/// A launch with runs that no order has in a row: of every type that all platforms have, scattered, uniform, and one that more than one frame tells.
async fn staged(bench: &Bench) -> String {
    let name = bench.launch("vm").await.name;
    let mut contents = Contents::new(91);
    let extents = [
        Extent::normal(page(20), contents.pages(9)),
        Extent::length(page(4), PageType::Zero, 3 * PAGE),
        Extent::data(page(8), PageType::Unmeasured, contents.pages(2)),
        Extent::normal(page(29), contents.pages(2)),
        Extent::normal(page(0), contents.pages(1)),
        Extent::normal(page(2), contents.pages(1)),
    ];
    for extent in extents {
        bench.api.stage(&name, extent).await.unwrap();
    }
    name
}

async fn in_both(bench: &Bench, name: &str, page_size: i32) -> [Vec<InstalledRun>; 2] {
    let [gpa, installation] = ORDERS;
    [
        ledger(&bench.api, name, gpa, page_size).await,
        ledger(&bench.api, name, installation, page_size).await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_of_an_aborted_launch_is_told_as_before() {
    on_every_platform(async |bench: &Bench| {
        for finish_first in [false, true] {
            let name = staged(bench).await;
            if finish_first {
                bench.api.finish(&name, vec![]).await.unwrap();
            }
            let before = in_both(bench, &name, 0).await;
            bench.api.abort(&name).await.unwrap();
            for page_size in [0, 1, 2, 1000] {
                assert_eq!(in_both(bench, &name, page_size).await, before);
            }
            over(bench, &name).await;
            assert_eq!(in_both(bench, &name, 3).await, before);
            bench.api.delete(&name).await.unwrap();
            let list = ListInstalledPagesRequest {
                name,
                ..ListInstalledPagesRequest::default()
            };
            let gone = bench.api.launches.clone().list_installed_pages(list).await;
            refused(gone, "LAUNCH_NOT_FOUND");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_goes_on_behind_the_end_of_its_launch() {
    on_every_platform(async |bench: &Bench| {
        for order in ORDERS {
            let name = staged(bench).await;
            let whole = ledger(&bench.api, &name, order, 0).await;
            let mut request = ListInstalledPagesRequest {
                name: name.clone(),
                order: order.into(),
                include_hashes: true,
                page_size: 2,
                ..ListInstalledPagesRequest::default()
            };
            let mut client = bench.api.launches.clone();
            let first = client.list_installed_pages(request.clone()).await;
            let first = first.unwrap().into_inner();
            bench.api.abort(&name).await.unwrap();
            request.page_token = first.next_page_token;
            request.page_size = 0;
            let second = client.list_installed_pages(request.clone()).await;
            let second = second.unwrap().into_inner();
            assert_eq!([first.runs, second.runs].concat(), whole);
            // What was no token before is none now.
            request.page_token = "nonsense".to_owned();
            let bad = client.list_installed_pages(request).await;
            refused(bad, "MALFORMED_REQUEST").blames("page_token");
            over(bench, &name).await;
            bench.api.delete(&name).await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_ended_without_a_page_has_an_empty_ledger() {
    on_every_platform(async |bench: &Bench| {
        let name = bench.launch("vm").await.name;
        bench.api.abort(&name).await.unwrap();
        assert_eq!(in_both(bench, &name, 0).await, [vec![], vec![]]);
    })
    .await;
}
