//! What goes well: from an object to FINISHED, RUNNING and STOPPED, and away again.

use serde_json::{Value, json};
use stagepages_tests::eventually;

use super::{
    rig::{Rig, SPACE, condition, guest, large, spec},
    stand_in::PODS,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_kvm_launch_runs_and_its_console_is_told() {
    let Some(rig) = Rig::running().await else {
        return;
    };
    rig.launch_guest("first", &guest("hello\n", false));
    let status = rig
        .until("first", "running with a console", |it| {
            it["state"] == "RUNNING" && it["console"].is_string()
        })
        .await;
    assert_eq!(status["console"], "hello\n");
    assert_eq!(
        (&status["node"], &status["device"]),
        (&json!("node-1"), &json!("kvm-0"))
    );
    assert_eq!(status["installedPages"], status["totalPages"]);
    for kind in [
        "Bound",
        "ImageReady",
        "Planned",
        "Staged",
        "Finished",
        "Running",
    ] {
        assert_eq!(
            condition(&status, kind)["status"],
            "True",
            "{kind}: {status:#}"
        );
    }
    eventually("events of what a person should see", async || {
        let told = rig.api.told("first");
        { ["Bound", "Pulled", "Finished", "Running"] }
            .iter()
            .all(|it| told.iter().any(|told| told == it))
            .then_some(())
    })
    .await;
    // Its pod ends, and it with it.
    rig.api.delete(PODS, SPACE, "vm");
    rig.kubelet.take(SPACE, "vm");
    let status = rig.until_state("first", "ABORTED").await;
    assert_eq!(condition(&status, "Failed")["reason"], "POD_GONE");
    let launches = rig.launches().await;
    assert!(
        launches.iter().all(|it| it.resources_released),
        "{launches:?}"
    );
    rig.until_gone("first").await;
    assert!(rig.launches().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_stops_is_told_with_its_cause() {
    let Some(rig) = Rig::running().await else {
        return;
    };
    rig.launch_guest("short", &guest("bye", true));
    let status = rig.until_state("short", "STOPPED").await;
    let status = match condition(&status, "Running")["status"] == "False" {
        true => status,
        false => rig.until_reason("short", "Running", "STOPPED").await,
    };
    assert_eq!(status["console"], "bye", "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sim_launch_ends_in_the_digest_that_was_expected() {
    let Some(rig) = Rig::running().await else {
        return;
    };
    let reference = rig
        .registry
        .as_ref()
        .unwrap()
        .push("team/guest", &[("a", b"other"), ("guest", &large(40))]);
    rig.pod("vm", "sim-0");
    let mut first = spec("sim", &reference);
    first["image"]["file"] = json!("guest");
    rig.launch("first", &first);
    let status = rig.until_reason("first", "Finished", "FINISHED").await;
    let digest = status["launchDigest"].as_str().unwrap().to_owned();
    assert_eq!(digest.len(), 96);
    assert_eq!(status["plannedDigest"], status["launchDigest"]);
    rig.until_gone("first").await;
    // Again, held to it; the image comes from the cache.
    first["expectedLaunchDigest"] = json!(digest);
    rig.launch("second", &first);
    rig.until_reason("second", "Finished", "FINISHED").await;
    // And held to another: nothing is staged.
    rig.pod("other", "sim-1");
    first["podName"] = json!("other");
    first["expectedLaunchDigest"] = json!("00".repeat(48));
    rig.launch("third", &first);
    let status = rig.until_state("third", "FAILED").await;
    assert_eq!(condition(&status, "Failed")["reason"], "DIGEST_MISMATCH");
    assert_eq!(status["launchUid"], Value::Null);
    let launches = rig.launches().await;
    assert_eq!(launches.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_server_does_does_not_matter_in_the_end() {
    let Some(mut rig) = Rig::running().await else {
        return;
    };
    let reference = rig.push(&large(10));
    rig.pod("vm", "sim-0");
    rig.api.conflict(3);
    rig.api
        .shared
        .manner
        .errors
        .store(2, std::sync::atomic::Ordering::SeqCst);
    rig.launch("busy", &spec("sim", &reference));
    rig.until_reason("busy", "Bound", "BOUND").await;
    rig.api.forget();
    rig.until_reason("busy", "Finished", "FINISHED").await;
    assert!(
        rig.api
            .shared
            .manner
            .conflicted
            .load(std::sync::atomic::Ordering::SeqCst)
            >= 3
    );
    // Every connection to it breaks, and it is slow afterwards; the launch is kept, and the next one is made.
    rig.api.stop();
    rig.kubelet.give(SPACE, "next", "sim-1");
    rig.api.again().await;
    rig.api
        .shared
        .manner
        .slow
        .store(50, std::sync::atomic::Ordering::SeqCst);
    rig.pod_without_device("next", "sim");
    let mut next = spec("sim", &reference);
    next["podName"] = json!("next");
    rig.launch("next", &next);
    rig.until_reason("next", "Finished", "FINISHED").await;
    assert_eq!(rig.launches().await.len(), 2);
}
