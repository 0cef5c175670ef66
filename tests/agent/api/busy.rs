//! A cluster in which much happens, and where what is known of it is late.

use std::time::Duration;

use serde_json::{Value, json};
use stagepages_tests::eventually;

use super::{
    rig::{Rig, SPACE, condition, large, spec},
    stand_in::{IMAGES, LAUNCHES, PODS},
};

/// Between two things that happen.
const PACE: Duration = Duration::from_millis(20);

/// Carries out another launch; then whatever else there is was looked at meanwhile.
async fn another(rig: &Rig, name: &str, reference: &str, device: &str) {
    rig.pod(name, device);
    let mut spec = spec("sim", reference);
    spec["podName"] = json!(name);
    rig.launch(name, &spec);
    rig.until_reason(name, "Finished", "FINISHED").await;
}

/// Something happens all the time, to an object of another node.
async fn bustle(rig: &Rig) {
    for nth in 0_u64.. {
        let news = json!({ "metadata": { "annotations": { "nth": nth.to_string() } } });
        rig.api.merge(LAUNCHES, SPACE, "elsewhere", &news);
        tokio::time::sleep(PACE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_anothers_is_noticed_however_much_happens() {
    let Some(rig) = Rig::running().await else {
        return;
    };
    let reference = rig.push(&large(2));
    let mut elsewhere = spec("sim", &reference);
    elsewhere["podName"] = json!("elsewhere");
    rig.launch("elsewhere", &elsewhere);
    rig.pod("vm", "sim-0");
    rig.launch("old", &spec("sim", &reference));
    rig.until_reason("old", "Finished", "FINISHED").await;
    rig.kubelet.take(SPACE, "vm");
    rig.kubelet.give(SPACE, "other", "sim-0");
    tokio::select! {
        status = rig.until_reason("old", "Failed", "DEVICE_GONE") => assert_eq!(status["state"], "ABORTED"),
        () = bustle(&rig) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_waits_for_the_next_pod_of_its_name_where_the_last_is_being_deleted() {
    let Some(rig) = Rig::running().await else {
        return;
    };
    let reference = rig.push(&large(2));
    rig.pod("vm", "sim-0");
    let deleted = json!({ "metadata": { "deletionTimestamp": "2026-11-23T12:00:00Z" } });
    rig.api.merge(PODS, SPACE, "vm", &deleted);
    rig.launch("it", &spec("sim", &reference));
    another(&rig, "other", &reference, "sim-1").await;
    assert_eq!(rig.status("it"), Value::Null);
    rig.api.delete(PODS, SPACE, "vm");
    rig.kubelet.take(SPACE, "vm");
    rig.pod("vm", "sim-2");
    let status = rig.until_reason("it", "Finished", "FINISHED").await;
    let pod = rig.api.get(PODS, SPACE, "vm").unwrap();
    assert_eq!(status["podUid"], pod["metadata"]["uid"]);
    assert_eq!(status["device"], "sim-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_launches_of_one_pod_no_more_are_carried_out_at_a_time_than_it_can_have() {
    /// As many as the agent says.
    const MOST: usize = 16;
    let Some(rig) = Rig::running().await else {
        return;
    };
    let reference = rig.push(&large(2));
    rig.pod_without_device("vm", "sim");
    let names: Vec<_> = (0..3 * MOST).map(|nth| format!("it-{nth}")).collect();
    for name in &names {
        rig.launch(name, &spec("sim", &reference));
    }
    let begun = || {
        let begun = names.iter().filter(|name| !rig.status(name).is_null());
        begun.count()
    };
    eventually("as many as may be", async || {
        (begun() >= MOST).then_some(())
    })
    .await;
    for nth in 1..4 {
        another(
            &rig,
            &format!("other-{nth}"),
            &reference,
            &format!("sim-{nth}"),
        )
        .await;
    }
    assert_eq!(begun(), MOST);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_is_over_is_not_taken_up_again_though_the_watch_is_late() {
    let Some(rig) = Rig::running().await else {
        return;
    };
    let junk = rig.push(b"no image at all");
    rig.pod_without_device("vm", "sim");
    rig.launch("it", &spec("sim", &junk));
    rig.until_reason("it", "Bound", "WAITING_FOR_DEVICE").await;
    rig.api.late(true);
    rig.kubelet.give(SPACE, "vm", "sim-0");
    let status = rig.until_state("it", "FAILED").await;
    // All objects are looked at whenever something happens to any of them.
    for nth in 0..3 {
        let name = format!("image-{nth}");
        let image = json!({
            "metadata": { "name": name },
            "spec": { "platform": "sim", "image": { "ref": junk } },
        });
        rig.api.create(IMAGES, "", image).unwrap();
        eventually("the image to be looked at", async || {
            let image = rig.api.get(IMAGES, "", &name)?;
            (image["status"]["nodes"][0]["ready"] == "False").then_some(())
        })
        .await;
    }
    assert_eq!(rig.status("it"), status);
    let told = rig.api.told("it");
    let failed = told.iter().filter(|it| *it == "ImageInvalid");
    assert_eq!(failed.count(), 1, "{told:?}");
    rig.api.late(false);
    rig.until_gone("it").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_server_was_late_with_is_mended_where_it_was_said() {
    let Some(mut rig) = Rig::running().await else {
        return;
    };
    let reference = rig.push(&large(2));
    rig.pod("vm", "sim-0");
    rig.launch("it", &spec("sim", &reference));
    let status = rig.until_reason("it", "Finished", "FINISHED").await;
    assert_eq!(condition(&status, "Bound")["status"], "True");
    // An agent that found no API server for a moment said so.
    rig.kill();
    let mut conditions = status["conditions"].clone();
    let bound = { conditions.as_array_mut().unwrap().iter_mut() }
        .find(|it| it["type"] == "Bound")
        .unwrap();
    bound["status"] = json!("False");
    bound["reason"] = json!("API_UNREACHABLE");
    let said = json!({ "status": { "conditions": conditions } });
    rig.api.merge(LAUNCHES, SPACE, "it", &said);
    rig.begin();
    rig.until("it", "bound again", |it| {
        condition(it, "Bound")["status"] == "True"
    })
    .await;
    assert_eq!(rig.status("it")["launchUid"], status["launchUid"]);
}
