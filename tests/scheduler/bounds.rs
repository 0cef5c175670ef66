//! What is refused, at once and with numbers from the queue.

use std::time::Duration;

use stagepages_proto::v1::LaunchPriority::Normal;
use stagepages_tests::{Bench, Refusal, refused};
use tonic::Request;

use super::crew::{begins, call, extent, get, launch, on_sim, waits_at};

#[tokio::test(flavor = "multi_thread")]
async fn beyond_its_limit_the_queue_says_when_a_place_is_expected_to_be_free() {
    on_sim("max_queued_launches = 2", async |bench: &Bench| {
        let limits = bench.api.node_info().await.limits.unwrap();
        assert_eq!(limits.max_queued_launches, 2);
        for id in ["a", "b", "c"] {
            launch(bench, id, Normal).await;
        }
        let a = call(bench, "a", 0, 400);
        waits_at(bench, "a", 0).await;
        let b = call(bench, "b", 0, 100);
        waits_at(bench, "b", 1).await;
        let queue = bench.info().await.queue.unwrap();
        assert!(queue.launches == 2 && queue.pages > 100, "{queue:?}");
        let turned_away = bench.api.stage("launches/c", extent(0, 10)).await;
        refused(turned_away, "QUEUE_FULL").has_retry().installed(0);
        // Whoever is in it already stays in it.
        let more = call(bench, "a", 400, 10);
        for (call, pages) in [(a, 400), (more, 10), (b, 100)] {
            assert_eq!(call.await.unwrap().unwrap().installed_pages, pages);
        }
        let answer = bench.api.stage("launches/c", extent(0, 10)).await;
        assert_eq!(answer.unwrap().installed_pages, 10);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_cannot_be_met_is_refused_and_nothing_is_applied() {
    on_sim("", async |bench: &Bench| {
        for id in ["a", "b"] {
            launch(bench, id, Normal).await;
        }
        // So that the time of a page is known.
        bench.api.stage("launches/a", extent(0, 100)).await.unwrap();
        let long = call(bench, "a", 100, 2000);
        waits_at(bench, "a", 0).await;
        let mut request = Request::new(extent(0, 10).request("launches/b"));
        request.set_timeout(Duration::from_secs(1));
        let answer = bench.api.launches.clone().stage_pages(request).await;
        refused(answer, "DEADLINE_UNREACHABLE")
            .has_retry()
            .installed(0);
        // With time enough it is let in, and can still be taken back.
        let waiting = call(bench, "b", 0, 10);
        waits_at(bench, "b", 1).await;
        waiting.abort();
        stagepages_tests::eventually("the place of a call that is gone", async || {
            { get(bench, "b").await.queue }.is_none().then_some(())
        })
        .await;
        assert_eq!(get(bench, "b").await.installed_pages, 0);
        bench.api.abort("launches/a").await.unwrap();
        let status = long.await.unwrap().unwrap_err();
        assert_eq!(Refusal::of(&status).reason, "ABORTED_DURING_CALL");
        begins_after(bench).await;
    })
    .await;
}

/// The queue is free for the one that is left.
async fn begins_after(bench: &Bench) {
    let call = call(bench, "b", 0, 64);
    begins(bench, "b").await;
    assert_eq!(call.await.unwrap().unwrap().installed_pages, 64);
}
