//! A daemon that dies with a queue.

use stagepages_proto::v1::{LaunchPriority::Normal, Platform};
use stagepages_tests::{Bench, DaemonOptions, eventually};

use super::crew::{begins, call, get, launch, waits_at};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_has_is_completed_without_a_daemon_and_what_waits_is_not_begun() {
    let options = DaemonOptions::new();
    let mut bench = Bench::start(&options, Platform::Sim).await.unwrap();
    for id in ["a", "b"] {
        launch(&bench, id, Normal).await;
    }
    let first = call(&bench, "a", 0, 600);
    begins(&bench, "a").await;
    let second = call(&bench, "b", 0, 100);
    waits_at(&bench, "b", 1).await;
    stagepages_tests::renew_daemon(&mut bench).await;
    assert!(first.await.unwrap().is_err() && second.await.unwrap().is_err());
    // Their connection is gone, and not what the host was handed.
    eventually("the whole extent of a", async || {
        (get(&bench, "a").await.installed_pages == 600).then_some(())
    })
    .await;
    assert_eq!(get(&bench, "b").await.installed_pages, 0);
    // The next daemon queues them as before.
    let first = call(&bench, "a", 600, 300);
    waits_at(&bench, "a", 0).await;
    let second = call(&bench, "b", 0, 100);
    waits_at(&bench, "b", 1).await;
    for (call, pages) in [(first, 300), (second, 100)] {
        assert_eq!(call.await.unwrap().unwrap().installed_pages, pages);
    }
    bench.end().await;
}
