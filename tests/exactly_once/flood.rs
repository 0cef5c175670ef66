//! A flood of questions about a launch while a stream stages into it: the launch host's queue is full now and then, and the stream must not
//! skip the request that found it so.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stagepages_proto::v1::PageType;
use stagepages_tests::{Api, Bench, Extent, Key, PAGE, Refusal, page, refused};

use super::calls::assert_complete;
use super::on_every_platform;
use super::talk::exchange;

/// Pages to be staged, one a request.
const EXTENTS: u64 = 200;
/// Connections that ask, and how many questions each has open: together a few times what a host's queue holds.
const CONNECTIONS: u64 = 4;
const QUESTIONS: u64 = 64;
/// Streams that it may take, at most.
const STREAMS: u64 = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_questions_does_not_make_a_stream_skip_a_request() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let mut flood = tokio::task::JoinSet::new();
        let staged = Arc::new(AtomicBool::new(false));
        for connection in 0..CONNECTIONS {
            let api = Api::unix(bench.daemon.socket()).await;
            for _ in 0..QUESTIONS {
                let (api, name) = (api.clone(), launch.name.clone());
                let staged = Arc::clone(&staged);
                flood.spawn(async move {
                    let key = Key::name(format!("nobody {connection}"));
                    while !staged.load(Ordering::Relaxed) {
                        let refusal = key.result(&api, &name).await.unwrap_err();
                        let reason = Refusal::of(&refusal).reason;
                        assert!(
                            ["RESULT_NOT_FOUND", "QUEUE_FULL"].contains(&reason.as_str()),
                            "{refusal:?}"
                        );
                    }
                });
            }
        }
        let mut first = 0;
        let mut streams = 0;
        while first < EXTENTS {
            streams += 1;
            assert!(streams < STREAMS, "no stream gets anywhere");
            let requests = (first..EXTENTS).map(|number| {
                Extent::length(page(number), PageType::Zero, PAGE).request(&launch.name)
            });
            let answers = exchange(&bench.api, requests).await;
            let complete = answers.iter().take_while(|said| said.is_ok()).count();
            for said in &answers[..complete] {
                assert_complete(said.as_ref().unwrap(), first, 1);
                first += 1;
            }
            let mut behind = answers.into_iter().skip(complete);
            if let Some(stop) = behind.next() {
                let refusal = refused(stop, "QUEUE_FULL");
                refusal.has_retry();
                assert_ne!(refusal.meta("launch_state"), "ABORTED", "{refusal:?}");
            }
            for said in behind {
                refused(said, "NOT_APPLIED");
            }
            let now = bench.api.get(&launch.name).await.unwrap();
            assert_eq!(now.installed_pages, first, "applied, but not counted");
        }
        staged.store(true, Ordering::Relaxed);
        flood.join_all().await;
    })
    .await;
}
