//! Launches that do not go on, and those behind them.

use stagepages_proto::v1::{LaunchPriority::Normal, StagePagesStreamRequest};
use stagepages_tests::{Bench, Refusal, eventually};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::crew::{begins, call, extent, get, launch, on_sim, waits_at};

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_launch_frees_the_firmware_for_the_next() {
    on_sim("", async |bench: &Bench| {
        for id in ["a", "b"] {
            launch(bench, id, Normal).await;
        }
        let long = call(bench, "a", 0, 4000);
        begins(bench, "a").await;
        let next = call(bench, "b", 0, 100);
        waits_at(bench, "b", 1).await;
        bench.api.abort("launches/a").await.unwrap();
        let status = long.await.unwrap().unwrap_err();
        let refusal = Refusal::of(&status);
        assert_eq!(refusal.reason, "ABORTED_DURING_CALL");
        assert!(refusal.number("installed_pages") < 4000);
        assert_eq!(next.await.unwrap().unwrap().installed_pages, 100);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_client_sends_nothing_more_delays_nobody() {
    on_sim("", async |bench: &Bench| {
        for id in ["slow", "b"] {
            launch(bench, id, Normal).await;
        }
        let (requests, sent) = mpsc::channel(4);
        let request = |first, pages| StagePagesStreamRequest {
            request: Some(extent(first, pages).request("launches/slow")),
        };
        requests.send(request(0, 50)).await.unwrap();
        let mut client = bench.api.launches.clone();
        let stream = client.stage_pages_stream(ReceiverStream::new(sent)).await;
        let mut answers = stream.unwrap().into_inner();
        assert!(answers.message().await.unwrap().is_some());
        // It is open, first in the order, and has nothing ready.
        let other = call(bench, "b", 0, 200);
        assert_eq!(other.await.unwrap().unwrap().installed_pages, 200);
        // When it has, it goes before those that came later.
        let long = call(bench, "b", 200, 2000);
        eventually("b at work", async || {
            (get(bench, "b").await.installed_pages > 200).then_some(())
        })
        .await;
        requests.send(request(50, 50)).await.unwrap();
        assert!(answers.message().await.unwrap().is_some());
        assert!(get(bench, "b").await.installed_pages < 2200);
        long.abort();
        bench.api.abort("launches/b").await.unwrap();
    })
    .await;
}
