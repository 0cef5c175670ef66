//! A device that is given to another pod while its launch lives: the launch is over, and the other pod finds nothing of it.

use stagepages_tests::eventually;

use super::rig::{Rig, SPACE, large, said, spec};
use crate::kubelet::stand_in::Kubelet;

const SIM: &str = "stagepages.dev/sim";

/// What is said of the launch that lost it.
async fn is_parted(rig: &Rig, name: &str) {
    let status = rig.until_reason(name, "Failed", "DEVICE_GONE").await;
    assert_eq!(status["state"], "ABORTED", "{status:#}");
    let (reason, message) = said(&status, "Bound");
    assert_eq!(reason, "DEVICE_GONE");
    for word in ["sim-0", "create Pod and ConfidentialLaunch anew"] {
        assert!(message.contains(word), "{word}: {message}");
    }
    rig.until_told(name, &["DeviceGone"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_kubelet_says_is_anothers_ends_the_launch_and_is_that_ones() {
    let Some(rig) = Rig::running().await else {
        return;
    };
    let reference = rig.push(&large(2));
    rig.pod("vm", "sim-0");
    rig.launch("old", &spec("sim", &reference));
    rig.until_reason("old", "Finished", "FINISHED").await;
    let old = rig.only_launch().await;
    // The API server has the Pod still.
    rig.kubelet.take(SPACE, "vm");
    rig.pod("other", "sim-0");
    let mut new = spec("sim", &reference);
    new["podName"] = "other".into();
    rig.launch("new", &new);
    is_parted(&rig, "old").await;
    let status = rig.until_reason("new", "Finished", "FINISHED").await;
    assert_eq!(status["device"], "sim-0");
    let launches = rig.launches().await;
    let is_old = |uid: &str| uid == old.uid;
    assert!(
        launches
            .iter()
            .all(|it| !is_old(&it.uid) || it.resources_released)
    );
    assert!(launches.iter().any(|it| status["launchUid"] == it.uid));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_gets_the_device_of_a_living_launch_begins_empty() {
    let Some(rig) = Rig::running().await else {
        return;
    };
    // One that allocates, in the place of the one that only tells.
    let mut kubelet = Kubelet::new(&rig.dir.path().join("kubelet"));
    kubelet.start();
    eventually("devices", async || {
        (kubelet.devices(SIM, true).len() == 8).then_some(())
    })
    .await;
    let reference = rig.push(&large(2));
    kubelet.admit(SPACE, "vm", SIM, 1).await.unwrap();
    rig.pod_without_device("vm", "sim");
    rig.launch("old", &spec("sim", &reference));
    let status = rig.until_reason("old", "Finished", "FINISHED").await;
    assert_eq!(status["device"], "sim-0");
    // Kubelet knows that the Pod is gone before the API server says so.
    kubelet.forget(SPACE, "vm");
    let given = kubelet.admit(SPACE, "other", SIM, 1).await.unwrap();
    assert_eq!(given.annotations["stagepages.dev/devices"], "sim-0");
    assert!(rig.launches().await.is_empty(), "nothing of it is left");
    is_parted(&rig, "old").await;
    assert!(rig.launches().await.is_empty(), "and nothing comes back");
    rig.until_gone("old").await;
}
