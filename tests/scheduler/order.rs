//! Who goes first.

use stagepages_proto::v1::LaunchPriority::{High, Low, Normal};
use stagepages_tests::Bench;

use super::crew::{begins, call, get, launch, on_sim, waits_at};

#[tokio::test(flavor = "multi_thread")]
async fn launches_of_a_class_run_to_completion_in_the_order_of_their_arrival() {
    on_sim("", async |bench: &Bench| {
        // Created in another order than they arrive in.
        for id in ["c", "b", "a"] {
            launch(bench, id, Normal).await;
        }
        let mut calls = Vec::new();
        for (position, id) in (0..).zip(["a", "b", "c"]) {
            calls.push((id, call(bench, id, 0, 300)));
            let place = waits_at(bench, id, position).await;
            // Of those before it, nothing but what is installed by now is gone.
            assert!(place.pages_ahead <= u64::from(position) * 300, "{place:?}");
        }
        let mut done: Vec<&str> = Vec::new();
        for (id, call) in calls {
            assert_eq!(call.await.unwrap().unwrap().installed_pages, 300);
            done.push(id);
            for later in ["a", "b", "c"].into_iter().filter(|it| !done.contains(it)) {
                // The next may have begun by the time this is asked; nobody behind it has.
                let begun = get(bench, later).await.installed_pages;
                let next = ["a", "b", "c"][done.len()];
                assert!(
                    later == next || begun == 0,
                    "{later} has {begun} pages before {next}"
                );
                assert!(begun < 300, "{later} was done before {id} was told");
            }
        }
        assert_eq!(get(bench, "c").await.queue, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_higher_class_overtakes_and_a_lower_one_is_kept_alive() {
    on_sim("", async |bench: &Bench| {
        for (id, class) in [("low", Low), ("normal", Normal), ("high", High)] {
            launch(bench, id, class).await;
        }
        let low = call(bench, "low", 0, 2000);
        begins(bench, "low").await;
        let normal = call(bench, "normal", 0, 800);
        waits_at(bench, "low", 1).await;
        let at_first = get(bench, "low").await.installed_pages;
        let high = call(bench, "high", 0, 300);
        assert_eq!(high.await.unwrap().unwrap().installed_pages, 300);
        assert!(get(bench, "normal").await.installed_pages < 800);
        assert_eq!(normal.await.unwrap().unwrap().installed_pages, 800);
        let meanwhile = get(bench, "low").await.installed_pages;
        // One quantum of eight, of 1100 pages: not nothing, and far from half.
        assert!(meanwhile > at_first, "{at_first} {meanwhile}");
        assert!(meanwhile < at_first + 600, "{at_first} {meanwhile}");
        low.abort();
        bench.api.abort("launches/low").await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_firmware_to_wait_for_is_in_no_queue() {
    use stagepages_proto::v1::Platform;
    use stagepages_tests::{DaemonOptions, on_platform};

    on_sim("scheduler = \"off\"", async |bench: &Bench| {
        launch(bench, "vm", High).await;
        let call = call(bench, "vm", 0, 100);
        begins(bench, "vm").await;
        assert_eq!(get(bench, "vm").await.queue, None);
        assert_eq!(bench.info().await.queue, None);
        assert_eq!(call.await.unwrap().unwrap().installed_pages, 100);
    })
    .await;
    on_platform(
        &DaemonOptions::new(),
        Platform::Kvm,
        async |bench: &Bench| {
            assert_eq!(bench.info().await.queue, None);
        },
    )
    .await;
}
