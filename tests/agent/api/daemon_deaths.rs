//! A daemon that dies or hangs while the agent works: the agent goes on where it was, and nothing is done twice.

use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};
use stagepages_proto::v1::ListLaunchesRequest;
use stagepages_tests::{eventually, halt};

use super::{
    rig::{Rig, SPACE, condition, guest, large, said, spec},
    stand_in::LAUNCHES,
};

/// Waits until the daemon's launch has so many pages; or more, where it was faster.
async fn until_pages(rig: &Rig, pages: u64) {
    let device = "sim-0";
    let name = rig.status("it")["launch"].as_str().unwrap().to_owned();
    eventually(&format!("{pages} pages"), async || {
        // Whoever asks while the daemon is restarted asks again.
        let socket = rig.dir.path().join(format!("devices/{device}/api.sock"));
        let api = stagepages_tests::Api::try_unix(&socket).await?;
        let launch = api.get(&name).await.ok()?;
        (launch.installed_pages >= pages).then_some(())
    })
    .await;
}

/// It is finished, and all of it is there once.
async fn is_whole(rig: &Rig, uid: &Value) {
    let status = rig.until_reason("it", "Finished", "FINISHED").await;
    let launch = rig.only_launch().await;
    assert_eq!((uid, &status["launchUid"]), (&json!(launch.uid), uid));
    assert_eq!(status["totalPages"], launch.installed_pages);
    assert_eq!(status["installedPages"], status["totalPages"]);
    assert_eq!(status["plannedDigest"], status["launchDigest"]);
    let verified = rig
        .device("sim-0")
        .await
        .verify(&launch.name)
        .await
        .unwrap();
    assert!(verified.findings.is_empty(), "{verified:?}");
}

/// That the daemon is away is said, and that the launch is what it was.
async fn is_away(rig: &Rig, uid: &Value) {
    let reason = "DAEMON_UNREACHABLE";
    let status = rig.until_reason("it", "DaemonReachable", reason).await;
    assert_eq!(&status["launchUid"], uid);
    assert_eq!(status["reason"], reason);
    let (_, message) = said(&status, "DaemonReachable");
    assert!(message.contains("see its pod and its log"), "{message}");
    rig.until_told("it", &["DaemonUnreachable"]).await;
}

/// That it is back is said too.
async fn is_back(rig: &Rig) {
    let status = rig
        .until_reason("it", "DaemonReachable", "DAEMON_REACHABLE")
        .await;
    assert_eq!(condition(&status, "DaemonReachable")["status"], "True");
    let reason = status["reason"].as_str().unwrap();
    assert!(!reason.starts_with("DAEMON_"), "{status:#}");
}

/// A launch that is begun.
async fn begun(rig: &Rig, pages: usize) -> Value {
    let reference = rig.push(&large(pages));
    rig.pod("vm", "sim-0");
    rig.launch("it", &spec("sim", &reference));
    let status = rig
        .until("it", "created", |it| it["launchUid"].is_string())
        .await;
    status["launchUid"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_killed_while_pages_are_staged_costs_nothing() {
    let Some(mut rig) = Rig::running().await else {
        return;
    };
    let uid = begun(&rig, 6000).await;
    for pages in [0, 500, 2000] {
        until_pages(&rig, pages).await;
        rig.daemon.kill_daemon();
        rig.daemon.restarted();
    }
    is_whole(&rig, &uid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_stays_away_is_said_and_waited_for() {
    let Some(mut rig) = Rig::running().await else {
        return;
    };
    let uid = begun(&rig, 6000).await;
    until_pages(&rig, 1).await;
    // Nobody starts another while the supervisor stands still.
    halt(rig.daemon.pid());
    rig.daemon.kill_daemon();
    is_away(&rig, &uid).await;
    kill(rig.daemon.pid(), Signal::SIGCONT).unwrap();
    rig.daemon.restarted();
    is_whole(&rig, &uid).await;
    is_back(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_hangs_is_said_and_waited_for() {
    let Some(rig) = Rig::running().await else {
        return;
    };
    let uid = begun(&rig, 6000).await;
    until_pages(&rig, 1).await;
    let daemon = rig.daemon.daemon_pid();
    halt(daemon);
    is_away(&rig, &uid).await;
    kill(daemon, Signal::SIGCONT).unwrap();
    is_whole(&rig, &uid).await;
    is_back(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_killed_under_a_running_guest_is_found_again() {
    let Some(mut rig) = Rig::running().await else {
        return;
    };
    rig.launch_guest("it", &guest("up\n", false));
    let before = rig.until_reason("it", "Running", "RUNNING").await;
    let uid = &before["launchUid"];
    halt(rig.daemon.pid());
    rig.daemon.kill_daemon();
    is_away(&rig, uid).await;
    assert_eq!(rig.status("it")["state"], "RUNNING");
    assert_eq!(condition(&rig.status("it"), "Staged")["status"], "True");
    kill(rig.daemon.pid(), Signal::SIGCONT).unwrap();
    rig.daemon.restarted();
    is_back(&rig).await;
    // It is followed still: what happens to it now is told.
    let launch = rig.only_launch().await;
    rig.device("kvm-0").await.abort(&launch.name).await.unwrap();
    let status = rig.until_state("it", "ABORTED").await;
    assert_eq!(&status["launchUid"], uid);
    rig.until_gone("it").await;
    assert!(rig.launches().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_deleted_while_its_launch_is_created_stays_until_that_is_gone() {
    let Some(rig) = Rig::running().await else {
        return;
    };
    let reference = rig.push(&large(1));
    rig.pod("vm", "sim-0");
    // No host is started while the supervisor stands still.
    halt(rig.daemon.pid());
    rig.launch("it", &spec("sim", &reference));
    let launches = rig.device("sim-0").await.launches;
    eventually("the creation", async || {
        let request = ListLaunchesRequest::default();
        let listed = launches.clone().list_launches(request).await;
        (listed.unwrap().into_inner().unsettled_launches == 1).then_some(())
    })
    .await;
    rig.api.delete(LAUNCHES, SPACE, "it");
    rig.until_reason("it", "Aborting", "HOST_UNREACHABLE").await;
    kill(rig.daemon.pid(), Signal::SIGCONT).unwrap();
    eventually("the object to go", async || {
        rig.api.get(LAUNCHES, SPACE, "it").is_none().then_some(())
    })
    .await;
    assert!(rig.launches().await.is_empty());
    let hosts = async || (rig.daemon.hosts() == 0).then_some(());
    eventually("no host to be left", hosts).await;
}
