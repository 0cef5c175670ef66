//! A launch host that is killed: its launch is over and says why; every other launch goes on.
use super::on_every_platform;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stagepages_proto::v1::{AbortReason, Launch, LaunchState};
use stagepages_tests::{Bench, Contents, Extent, eventually, page, refused, snapshot};

use stagepages_tests::Slow;

fn kill_host(launch: &Launch, signal: Signal) {
    assert_ne!(launch.host_pid, 0);
    kill(Pid::from_raw(launch.host_pid.try_into().unwrap()), signal).unwrap();
}

async fn aborted(bench: &Bench, name: &str) -> Launch {
    eventually("the end of a launch whose host was killed", async || {
        Some(bench.api.get(name).await.unwrap())
            .filter(|launch| launch.state() == LaunchState::Aborted && launch.resources_released)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_host_ends_its_own_launch_only() {
    on_every_platform(async |bench: &Bench| {
        let mut contents = Contents::new(111);
        let (victim, other) = (bench.launch("victim").await, bench.launch("other").await);
        for launch in [&victim, &other] {
            bench
                .api
                .stage(&launch.name, Extent::normal(page(0), contents.pages(3)))
                .await
                .unwrap();
        }
        let before = snapshot(&bench.api, &other.name).await;
        kill_host(&victim, Signal::SIGKILL);

        let dead = aborted(bench, &victim.name).await;
        let cause = dead.abort.clone().unwrap();
        assert_eq!(
            (cause.reason(), cause.signal, cause.exit_code),
            (AbortReason::HostDied, 9, 0),
            "{cause:?}"
        );
        assert!(
            cause.message.contains('9') || cause.message.contains("SIGKILL"),
            "{cause:?}"
        );
        assert_eq!(
            (dead.installed_pages, dead.host_pid),
            (3, 0),
            "pages installed, ever"
        );
        refused(
            bench
                .api
                .stage(&victim.name, Extent::normal(page(3), contents.pages(1)))
                .await,
            "WRONG_STATE",
        )
        .state("ABORTED");
        assert_eq!(
            bench.api.abort(&victim.name).await.unwrap(),
            dead,
            "an ended launch is returned as it is"
        );

        assert_eq!(snapshot(&bench.api, &other.name).await, before);
        bench
            .api
            .stage(&other.name, Extent::normal(page(3), contents.pages(1)))
            .await
            .unwrap();
        bench.api.delete(&victim.name).await.unwrap();
        bench.launch("victim").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_a_killed_host_is_told_so() {
    on_every_platform(async |bench: &Bench| {
        let slow = Slow::launch(bench, "vm").await;
        let call = slow.start(bench);
        slow.underway(bench).await;
        kill_host(&slow.launch, Signal::SIGKILL);
        let refusal = refused(call.await.unwrap(), "HOST_DIED");
        refusal.state("ABORTED");
        assert_eq!(
            aborted(bench, &slow.launch.name)
                .await
                .abort
                .unwrap()
                .reason(),
            AbortReason::HostDied
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_signal_that_ended_a_host_is_the_one_that_is_told() {
    on_every_platform(async |bench: &Bench| {
        let launch = bench.launch("vm").await;
        kill_host(&launch, Signal::SIGTERM);
        let cause = aborted(bench, &launch.name).await.abort.unwrap();
        assert_eq!(
            (cause.reason(), cause.signal),
            (AbortReason::HostDied, 15),
            "{cause:?}"
        );
    })
    .await;
}
