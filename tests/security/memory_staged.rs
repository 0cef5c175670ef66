//! Pages that were staged are in the guest's memory, and nowhere else once the connection is gone.
use std::time::Duration;

use stagepages_proto::v1::{PageType, Platform, StagePagesRequest, StagePagesStreamRequest};
use stagepages_tests::{
    Api, Bench, DaemonOptions, Extent, Key, Marker, PAGE, SimScript, eventually, on_platform, page,
    region,
};

use super::memory::{connect, guest_or_received, only_in, subjects, talkative};

/// Pages of the largest message.
const MOST: u64 = 512;

#[tokio::test(flavor = "multi_thread")]
async fn staged_pages_are_in_the_guest_and_after_the_connection_nowhere_else() {
    subjects()
        .run(async |bench: &Bench| {
            let launch = bench.launch("marked").await;
            let markers: Vec<_> = (1..=6).map(Marker::new).collect();
            let api = connect(bench).await;
            let mut extents = vec![
                Extent::normal(page(0), markers[0].pages(1)),
                Extent::normal(page(1), markers[1].pages(MOST - 1)),
                Extent::data(page(600), PageType::Unmeasured, markers[2].pages(3)),
            ];
            if bench.platform == Platform::Sim {
                extents.push(Extent::data(
                    page(700),
                    PageType::Cpuid,
                    markers[3].pages(1),
                ));
            }
            let unary = extents.len();
            for extent in extents {
                api.stage(&launch.name, extent).await.unwrap();
            }
            let streamed = [
                Extent::normal(page(710), markers[4].pages(100)).request(&launch.name),
                Key::name("again").request(
                    &launch.name,
                    Extent::normal(page(820), markers[5].pages(64)),
                ),
            ];
            stream(&api, &streamed).await;
            // The same once more: the host compares it with what it remembers.
            stream(&api, &streamed[1..]).await;
            bench.api.verify(&launch.name).await.unwrap();

            for marker in markers[..unary].iter().chain(&markers[4..]) {
                let found = only_in(bench, marker, "received", guest_or_received).await;
                assert!(found.iter().any(|found| found.guest), "{found:?}");
            }
            drop(api);
            for marker in markers[..unary].iter().chain(&markers[4..]) {
                let found = only_in(bench, marker, "in the guest", |found| found.guest).await;
                assert!(found.iter().any(|found| found.guest), "{found:?}");
            }
            bench.api.abort(&launch.name).await.unwrap();
            for marker in &markers {
                only_in(bench, marker, "gone", |_| false).await;
            }
        })
        .await;
}

/// Proves that the scans see what there is: a page that waits is in the staging memory of both processes.
#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_call_under_way_are_seen_where_they_wait() {
    on_platform(
        &talkative(DaemonOptions::new()),
        Platform::Sim,
        async |bench| {
            let marker = Marker::new(21);
            let spec = SimScript::new()
                // Minutes: it is aborted once it was seen.
                .latency(Duration::from_millis(500))
                .spec([region(page(0), MOST * PAGE)]);
            let launch = bench.api.create("slow", spec).await.unwrap();
            let api = connect(bench).await;
            let extent = Extent::normal(page(0), marker.pages(MOST));
            let call = {
                let (api, name) = (api.clone(), launch.name.clone());
                tokio::spawn(async move { api.stage(&name, extent).await })
            };
            eventually("pages that wait", async || {
                let found = bench.daemon.find(&marker);
                let staged = |role: &str| {
                    let in_memory = |found: &&stagepages_tests::Found| {
                        found.role == role && found.place.contains("memfd:stagepages-staging")
                    };
                    found.iter().filter(in_memory).count()
                };
                // As a mapping, and as a descriptor.
                (staged("daemon") >= 2 && staged("host") >= 2).then_some(())
            })
            .await;
            bench.api.abort(&launch.name).await.unwrap();
            call.await.unwrap().unwrap_err();
            drop(api);
            // The call was aborted under way: nothing of it is left either.
            only_in(bench, &marker, "gone", |_| false).await;
        },
    )
    .await;
}

/// A caller that goes away leaves nothing, although its pages are installed.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_is_gone_leaves_its_pages_in_the_guest_only() {
    on_platform(
        &talkative(DaemonOptions::new()),
        Platform::Sim,
        async |bench| {
            let marker = Marker::new(22);
            let spec = SimScript::new()
                .latency(Duration::from_millis(5))
                .spec([region(page(0), MOST * PAGE)]);
            let launch = bench.api.create("left", spec).await.unwrap();
            let api = connect(bench).await;
            let extent = Extent::normal(page(0), marker.pages(100));
            let call = {
                let (api, name) = (api.clone(), launch.name.clone());
                tokio::spawn(async move { api.stage(&name, extent).await })
            };
            eventually("the first page", async || {
                let launch = bench.api.get(&launch.name).await.unwrap();
                (launch.installed_pages > 0).then_some(())
            })
            .await;
            call.abort();
            drop(call.await);
            drop(api);
            eventually("the last page", async || {
                let launch = bench.api.get(&launch.name).await.unwrap();
                (launch.installed_pages == 100).then_some(())
            })
            .await;
            let found = only_in(bench, &marker, "in the guest", |found| found.guest).await;
            assert!(!found.is_empty());
        },
    )
    .await;
}

async fn stream(api: &Api, requests: &[StagePagesRequest]) {
    let requests: Vec<_> = requests
        .iter()
        .map(|request| StagePagesStreamRequest {
            request: Some(request.clone()),
        })
        .collect();
    let count = requests.len();
    let mut launches = api.launches.clone();
    let answers = launches
        .stage_pages_stream(tokio_stream::iter(requests))
        .await;
    let mut answers = answers.unwrap().into_inner();
    let mut answered = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        use stagepages_proto::v1::stage_pages_stream_response::Answer;
        assert!(
            matches!(answer.answer, Some(Answer::Result(_))),
            "{answer:?}"
        );
        answered += 1;
    }
    assert_eq!(answered, count);
}
