//! WatchLaunch: the present first, then every state in order, the terminal one last; and watchers that hold back nobody.
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stagepages_proto::v1::{AbortReason, Launch, LaunchState, PageType};
use stagepages_tests::{Bench, Extent, PAGE, Watcher, page, refused, states};

use super::on_every_platform;

fn page_of(number: u64) -> Extent {
    Extent::length(page(number), PageType::Zero, PAGE)
}

/// The moment of the lease's end is computed anew for each answer and differs by nanoseconds.
fn but_for_the_lease(mut launch: Launch) -> Launch {
    launch.lease_expire_time = None;
    launch
}

#[tokio::test(flavor = "multi_thread")]
async fn the_present_comes_first() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        for number in 0..5 {
            let mut watcher = Watcher::of(bench, &launch.name).await.unwrap();
            let told = watcher.next().await.unwrap();
            let now = bench.api.get(&launch.name).await.unwrap();
            assert_eq!(but_for_the_lease(told), but_for_the_lease(now));
            let staged = bench.api.stage(&launch.name, page_of(number)).await;
            staged.unwrap();
            let told = watcher.next().await.unwrap();
            assert_eq!(told.installed_pages, number + 1, "the change comes next");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_state_is_told_in_order_and_the_terminal_one_last() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let watchers = [
            Watcher::of(bench, &launch.name).await.unwrap(),
            Watcher::of(bench, &launch.name).await.unwrap(),
        ];
        for number in 0..20 {
            bench
                .api
                .stage(&launch.name, page_of(number))
                .await
                .unwrap();
        }
        bench.api.finish(&launch.name, "").await.unwrap();
        bench.api.abort(&launch.name).await.unwrap();
        for watcher in watchers {
            let told = watcher.rest().await;
            assert_eq!(
                states(&told),
                [
                    LaunchState::Created,
                    LaunchState::Staging,
                    LaunchState::Finished,
                    LaunchState::Aborted
                ]
            );
            assert!(
                told.is_sorted_by_key(|launch| launch.installed_pages),
                "never an older one: {told:?}"
            );
            let last = told.last().unwrap();
            assert_eq!(last.installed_pages, 20);
            assert_eq!(
                last.abort.as_ref().unwrap().reason(),
                AbortReason::Requested
            );
            assert_eq!(last.lease_expire_time, None);
        }
        // Who comes after the end is told the end.
        let told = Watcher::of(bench, &launch.name).await.unwrap().rest().await;
        assert_eq!(states(&told), [LaunchState::Aborted]);
        assert_eq!(told.len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_never_reads_holds_back_nobody() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let mut idle = Vec::new();
        for _ in 0..8 {
            idle.push(Watcher::of(bench, &launch.name).await.unwrap());
        }
        let mut reads = Watcher::of(bench, &launch.name).await.unwrap();
        // One page and one change at a time, more than any channel between here and there holds.
        for number in 0..600 {
            bench
                .api
                .stage(&launch.name, page_of(number))
                .await
                .unwrap();
            while reads.next().await.unwrap().installed_pages <= number {}
        }
        bench.api.finish(&launch.name, "").await.unwrap();
        bench.api.abort(&launch.name).await.unwrap();
        bench.api.delete(&launch.name).await.unwrap();
        assert_eq!(
            states(&reads.rest().await),
            [LaunchState::Finished, LaunchState::Aborted]
        );
        // They are told what they missed when they come round to reading, deleted launch or not.
        for watcher in idle {
            let told = watcher.rest().await;
            assert_eq!(
                states(&told),
                [
                    LaunchState::Created,
                    LaunchState::Staging,
                    LaunchState::Finished,
                    LaunchState::Aborted
                ]
            );
            assert_eq!(told.last().unwrap().installed_pages, 600);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_cannot_be_watched() {
    on_every_platform(async |bench: &Bench| {
        refused(
            Watcher::of(bench, "launches/none").await,
            "LAUNCH_NOT_FOUND",
        );
        refused(Watcher::of(bench, "none").await, "MALFORMED_REQUEST");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_death_of_the_host_is_told() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        let mut watcher = Watcher::of(bench, &launch.name).await.unwrap();
        watcher.next().await.unwrap();
        bench.api.stage(&launch.name, page_of(0)).await.unwrap();
        let host = Pid::from_raw(launch.host_pid.try_into().unwrap());
        kill(host, Signal::SIGKILL).unwrap();
        let told = watcher.rest().await;
        assert_eq!(states(&told), [LaunchState::Staging, LaunchState::Aborted]);
        let cause = told.last().unwrap().abort.as_ref().unwrap();
        assert_eq!(
            (cause.reason(), cause.signal),
            (AbortReason::HostDied, Signal::SIGKILL as i32)
        );
    })
    .await;
}
