//! A launch host that hangs: nobody else waits for it, and its launch can still be ended.
use super::on_every_platform;
use nix::unistd::Pid;
use stagepages_proto::v1::{Launch, LaunchState};
use stagepages_tests::{Bench, Contents, Extent, Refusal, eventually, halt, page, snapshot};

use stagepages_tests::Slow;

fn hang(launch: &Launch) {
    assert_ne!(launch.host_pid, 0);
    halt(Pid::from_raw(launch.host_pid.try_into().unwrap()));
}

async fn released(bench: &Bench, name: &str) -> Launch {
    eventually("the release of a launch whose host hung", async || {
        Some(bench.api.get(name).await.unwrap()).filter(|launch| launch.resources_released)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_hangs_is_in_nobodys_way_and_can_be_aborted() {
    on_every_platform(async |bench: &Bench| {
        let (hung, other) = (bench.launch("hung").await, bench.launch("other").await);
        hang(&hung);
        assert_eq!(
            bench.api.get(&hung.name).await.unwrap(),
            hung,
            "records are the daemon's own"
        );
        let data = Contents::new(121).pages(3);
        bench
            .api
            .stage(&other.name, Extent::normal(page(0), data))
            .await
            .unwrap();
        snapshot(&bench.api, &other.name).await;

        let aborted = bench.api.abort(&hung.name).await.unwrap();
        assert_eq!(aborted.state(), LaunchState::Aborted);
        released(bench, &hung.name).await;
        bench.api.delete(&hung.name).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_a_host_that_hangs_is_never_told_a_wrong_count() {
    on_every_platform(async |bench: &Bench| {
        let slow = Slow::launch(bench, "vm").await;
        let call = slow.start(bench);
        let seen = slow.underway(bench).await.installed_pages;
        hang(&slow.launch);
        bench.api.abort(&slow.launch.name).await.unwrap();

        let refusal = Refusal::of(&call.await.unwrap().unwrap_err());
        let reasons = ["ABORTED_DURING_CALL", "HOST_DIED", "HOST_UNREACHABLE"];
        assert!(reasons.contains(&refusal.reason.as_str()), "{refusal:?}");
        let recorded = released(bench, &slow.launch.name).await.installed_pages;
        assert!(
            recorded >= seen,
            "{recorded} recorded, {seen} seen while it worked"
        );
        // Better no count than a wrong one.
        if refusal.has_meta("installed_pages") {
            refusal.installed(recorded);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_hangs_does_not_hold_up_the_end() {
    on_every_platform(async |bench: &Bench| {
        // The harness ends the daemon with this host still hanging, and wants nothing of the tree left.
        hang(&bench.launch("hung").await);
    })
    .await;
}
