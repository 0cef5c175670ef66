//! Images that are staged.

use stagepages_proto::v1::{LedgerOrder, PageType, Platform, StagePagesRequest};
use stagepages_tests::{
    Bench, PAGE, ledger, on_every_platform, page, page_hashes, refused, snapshot,
};

use super::desk::{Desk, Subject, at, slice, stage};

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_is_what_the_same_bytes_are() {
    on_every_platform(async |bench: &Bench| {
        let desk = Desk::new(bench);
        let image = Subject::random(7, 700);
        assert!(desk.missing(&image).await);
        let stored = desk.put(&image).await;
        assert_eq!(
            (stored.name, stored.size),
            (image.name.clone(), image.size())
        );
        assert!(!desk.missing(&image).await);
        let by_reference = bench.launch("by-reference").await;
        let by_value = bench.launch("by-value").await;
        // Across the pieces' ends, out of order, and beside each other.
        let mut put = 0;
        for (first, pages) in [(512, 100), (0, 1), (500, 12), (1, 499)] {
            let request = slice(&by_reference.name, put, &image, first * PAGE, pages * PAGE);
            let answer = bench.api.stage_request(request).await.unwrap();
            assert_eq!((answer.installed_pages, answer.stop), (pages, None));
            let bytes = image
                .bytes
                .slice(at(first * PAGE)..at((first + pages) * PAGE));
            for (nth, part) in (0..).zip(bytes.chunks(1 << 20)) {
                let extent = stagepages_tests::Extent::normal(page(put + nth * 256), part.to_vec());
                bench.api.stage(&by_value.name, extent).await.unwrap();
            }
            put += pages;
        }
        let of = async |name: &str| {
            // It is consistent, too.
            drop(snapshot(&bench.api, name).await);
            let runs = ledger(&bench.api, name, LedgerOrder::Gpa, 0).await;
            page_hashes(&runs)
        };
        assert_eq!(of(&by_reference.name).await, of(&by_value.name).await);
        assert_eq!(bench.api.node_info().await.usage.unwrap().images, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_that_is_none_installs_nothing_and_says_why() {
    on_every_platform(async |bench: &Bench| {
        let desk = Desk::new(bench);
        let image = Subject::of(Subject::random(1, 3).bytes.slice(..at(2 * PAGE + 5)));
        desk.put(&image).await;
        let launch = bench.launch("vm").await;
        let good = slice(&launch.name, 0, &image, 0, PAGE);
        let with = |change: &dyn Fn(&mut StagePagesRequest)| {
            let mut request = good.clone();
            change(&mut request);
            request
        };
        let part = |request: &mut StagePagesRequest, offset, length| {
            let image = request.image.as_mut().unwrap();
            (image.offset, image.length) = (offset, length);
        };
        let other = Subject::random(2, 1);
        let table: [(StagePagesRequest, &str, &str); 9] = [
            (
                with(&|it| part(it, 1, PAGE)),
                "INVALID_EXTENT",
                "image.offset",
            ),
            (with(&|it| part(it, 0, 5)), "INVALID_EXTENT", "image.length"),
            (with(&|it| part(it, 0, 0)), "INVALID_EXTENT", "image.length"),
            // Behind the last whole page there are bytes, and no page.
            (
                with(&|it| part(it, PAGE, 2 * PAGE)),
                "INVALID_EXTENT",
                "image.length",
            ),
            (
                with(&|it| part(it, 0, 1 << 40)),
                "INVALID_EXTENT",
                "image.length",
            ),
            (
                with(&|it| it.data = Some(vec![0; 4096].into())),
                "INVALID_EXTENT",
                "image",
            ),
            (
                with(&|it| it.page_type = PageType::Zero.into()),
                "INVALID_EXTENT",
                "image.length",
            ),
            (
                with(&|it| it.image.as_mut().unwrap().name = "images/md5:00".into()),
                "MALFORMED_REQUEST",
                "image.name",
            ),
            (
                with(&|it| it.image.as_mut().unwrap().name = other.name.clone()),
                "IMAGE_NOT_FOUND",
                "",
            ),
        ];
        for (request, reason, field) in table {
            let refusal = refused(bench.api.stage_request(request).await, reason);
            if !field.is_empty() {
                refusal.blames(field);
            }
        }
        if bench.platform == Platform::Sim {
            let cpuid = with(&|it| it.page_type = PageType::Cpuid.into());
            refused(bench.api.stage_request(cpuid).await, "INVALID_EXTENT");
        }
        assert_eq!(
            bench.api.get(&launch.name).await.unwrap().installed_pages,
            0
        );
        assert_eq!(
            bench
                .api
                .stage_request(good.clone())
                .await
                .unwrap()
                .installed_pages,
            1
        );
        refused(bench.api.stage_request(good).await, "ALREADY_INSTALLED");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_repeated_by_value_is_the_same_call() {
    on_every_platform(async |bench: &Bench| {
        let desk = Desk::new(bench);
        let image = Subject::random(3, 8);
        desk.put(&image).await;
        let launch = bench.launch("vm").await;
        let named = StagePagesRequest {
            request_id: "once".to_owned(),
            ..slice(&launch.name, 0, &image, 0, image.size())
        };
        let first = bench.api.stage_request(named.clone()).await.unwrap();
        assert_eq!(bench.api.stage_request(named.clone()).await.unwrap(), first);
        let by_value = StagePagesRequest {
            image: None,
            data: Some(image.bytes.clone()),
            ..named.clone()
        };
        assert_eq!(bench.api.stage_request(by_value).await.unwrap(), first);
        let other = Subject::random(4, 8);
        desk.put(&other).await;
        let reused = StagePagesRequest {
            request_id: "once".to_owned(),
            ..slice(&launch.name, 0, &other, 0, other.size())
        };
        refused(bench.api.stage_request(reused).await, "REQUEST_ID_REUSED");
        assert_eq!(
            bench.api.get(&launch.name).await.unwrap().installed_pages,
            8
        );
        drop(stage(bench, &launch.name, &other).await);
    })
    .await;
}
