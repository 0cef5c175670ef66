//! A launch whose host dies, or that is not there any more: it is over, that is said with the way out, and no other is made in its place.

use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};
use stagepages_proto::v1::{Launch, LaunchState};
use stagepages_tests::{Daemon, eventually};

use super::rig::{Rig, guest, large, said, spec};

/// Kills the host of a launch, as the kernel does when memory is short.
fn kill_host(daemon: &Daemon, launch: &Launch) {
    kill(daemon.host(launch), Signal::SIGKILL).unwrap();
}

/// What is said of `name` once its host has died.
async fn is_over(rig: &Rig, name: &str, uid: &str) -> Value {
    let status = rig.until_reason(name, "Failed", "HOST_DIED").await;
    assert_eq!(status["state"], "ABORTED", "{status:#}");
    assert_eq!(status["launchUid"], uid, "{status:#}");
    let (_, message) = said(&status, "Failed");
    for word in [
        "SIGKILL",
        "delete this ConfidentialLaunch and create another",
    ] {
        assert!(message.contains(word), "{word}: {message}");
    }
    rig.until_told(name, &["HostDied"]).await;
    status
}

/// It stays as it is, also for the next agent; and goes when it is told to.
async fn stays_over(rig: &mut Rig, name: &str) {
    let before = rig.status(name);
    let launch = rig.only_launch().await;
    rig.kill();
    rig.begin();
    // The next agent has looked at all that is here when it has carried out something else.
    let reference = rig.push(&large(1));
    rig.pod("other", "sim-7");
    let mut other = spec("sim", &reference);
    other["podName"] = json!("other");
    rig.launch("other", &other);
    rig.until_reason("other", "Finished", "FINISHED").await;
    rig.until_gone("other").await;
    assert_eq!(rig.only_launch().await.uid, launch.uid);
    let hosts = async || (rig.daemon.hosts() == 0).then_some(());
    eventually("no host to be left", hosts).await;
    assert_eq!(rig.status(name), before);
    rig.until_gone(name).await;
    assert!(rig.launches().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_dies_while_pages_are_staged_ends_its_launch_and_no_other_is_made() {
    let Some(mut rig) = Rig::running().await else {
        return;
    };
    let reference = rig.push(&large(6000));
    rig.pod("vm", "sim-0");
    rig.launch("staged", &spec("sim", &reference));
    let status = rig
        .until("staged", "created", |it| it["launchUid"].is_string())
        .await;
    let name = status["launch"].as_str().unwrap();
    let device = rig.device("sim-0").await;
    let launch = eventually("some pages", async || {
        let launch = device.get(name).await.unwrap();
        (launch.installed_pages > 0).then_some(launch)
    })
    .await;
    kill_host(&rig.daemon, &launch);
    let status = is_over(&rig, "staged", &launch.uid).await;
    assert_ne!(status["installedPages"], Value::Null);
    stays_over(&mut rig, "staged").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_dies_before_the_first_page_ends_its_launch_too() {
    let Some(mut rig) = Rig::running().await else {
        return;
    };
    let reference = rig.push(&large(6000));
    rig.pod("vm", "sim-0");
    rig.launch("created", &spec("sim", &reference));
    let status = rig
        .until("created", "created", |it| it["launchUid"].is_string())
        .await;
    let launch = rig.only_launch().await;
    assert_eq!(status["launchUid"], launch.uid);
    kill_host(&rig.daemon, &launch);
    is_over(&rig, "created", &launch.uid).await;
    stays_over(&mut rig, "created").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_dies_with_a_finished_launch_is_told() {
    let Some(mut rig) = Rig::running().await else {
        return;
    };
    let reference = rig.push(&large(2));
    rig.pod("vm", "sim-0");
    rig.launch("finished", &spec("sim", &reference));
    rig.until_reason("finished", "Finished", "FINISHED").await;
    let launch = rig.only_launch().await;
    kill_host(&rig.daemon, &launch);
    is_over(&rig, "finished", &launch.uid).await;
    stays_over(&mut rig, "finished").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_dies_with_a_running_guest_is_told() {
    let Some(mut rig) = Rig::running().await else {
        return;
    };
    rig.launch_guest("running", &guest("up\n", false));
    rig.until_reason("running", "Running", "RUNNING").await;
    let launch = rig.only_launch().await;
    assert_eq!(launch.state(), LaunchState::Running);
    kill_host(&rig.daemon, &launch);
    let status = is_over(&rig, "running", &launch.uid).await;
    let (reason, message) = said(&status, "Running");
    assert_eq!(
        reason, "HOST_DIED",
        "a guest without a host runs no more: {message}"
    );
    stays_over(&mut rig, "running").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_dies_while_no_agent_looks_is_told_by_the_next() {
    let Some(mut rig) = Rig::running().await else {
        return;
    };
    let reference = rig.push(&large(2));
    rig.pod("vm", "sim-0");
    rig.launch("alone", &spec("sim", &reference));
    rig.until_reason("alone", "Finished", "FINISHED").await;
    rig.kill();
    let launch = rig.only_launch().await;
    kill_host(&rig.daemon, &launch);
    rig.begin();
    is_over(&rig, "alone", &launch.uid).await;
    stays_over(&mut rig, "alone").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_somebody_deleted_is_lost_and_not_made_again() {
    let Some(rig) = Rig::running().await else {
        return;
    };
    let reference = rig.push(&large(2));
    rig.pod("vm", "sim-0");
    rig.launch("lost", &spec("sim", &reference));
    rig.until_reason("lost", "Finished", "FINISHED").await;
    // Who is in the pod is the same tenant, and may.
    let launch = rig.only_launch().await;
    let device = rig.device("sim-0").await;
    device.abort(&launch.name).await.unwrap();
    eventually("the launch to be deleted", async || {
        device.delete(&launch.name).await.ok()
    })
    .await;
    let status = rig
        .until("lost", "over", |it| {
            it["state"] == "ABORTED" || it["state"] == "FAILED"
        })
        .await;
    let (reason, message) = said(&status, "Failed");
    assert!(
        ["LAUNCH_LOST", "REQUESTED"].contains(&&*reason),
        "{status:#}"
    );
    assert!(message.contains("create another"), "{message}");
    assert!(rig.launches().await.is_empty(), "none is made in its place");
    rig.until_gone("lost").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_the_daemon_has_forgotten_is_lost_and_not_made_again() {
    let Some(mut rig) = Rig::running().await else {
        return;
    };
    let reference = rig.push(&large(2));
    rig.pod("vm", "sim-0");
    rig.launch("lost", &spec("sim", &reference));
    rig.until_reason("lost", "Finished", "FINISHED").await;
    let uid = rig.status("lost")["launchUid"].clone();
    // As after a node whose disk was made anew.
    rig.daemon.kill_all();
    for part in ["state", "run"] {
        std::fs::remove_dir_all(rig.daemon.dir().join(part)).unwrap();
    }
    rig.daemon.start_again();
    rig.daemon.restarted();
    let status = rig.until_state("lost", "FAILED").await;
    let (reason, message) = said(&status, "Failed");
    assert_eq!(reason, "LAUNCH_LOST", "{message}");
    for word in [uid.as_str().unwrap(), "create another"] {
        assert!(message.contains(word), "{word}: {message}");
    }
    assert_eq!(status["launchUid"], uid);
    rig.until_told("lost", &["LaunchLost"]).await;
    assert!(rig.launches().await.is_empty(), "none is made in its place");
    rig.until_gone("lost").await;
}
