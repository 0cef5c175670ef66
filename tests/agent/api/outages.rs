//! An API server that is away while a launch is staged: the launch goes on, and is told of when it is back.

use serde_json::json;
use stagepages_proto::v1::LaunchState;
use stagepages_tests::eventually;
use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};

use super::{
    occupied::Occupied,
    rig::{Rig, large, spec},
};
use crate::probe::{address, becomes, check, connect};

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_is_staged_and_finished_while_the_api_server_is_away() {
    const PAGES: usize = 6000;
    let mut rig = Rig::new().await;
    let Some(reference) = rig.try_push(&large(PAGES)) else {
        return;
    };
    let address = address();
    rig.set("HEALTH_LISTEN", format!("tcp:{address}"));
    rig.begin();
    let health = connect(&address).await;
    becomes(&health, "controller", Serving).await;
    // So that none of its pages is installed before the API server is away.
    let occupied = Occupied::begin(&rig).await;
    rig.pod("vm", "sim-0");
    rig.launch("it", &spec("sim", &reference));
    let before = rig.until_reason("it", "Staged", "STAGING").await;

    rig.api.stop();
    becomes(&health, "controller", NotServing).await;
    let log = rig.agent.as_ref().unwrap().log();
    let told = "the API server does not answer; it is asked again, and launches go on meanwhile";
    assert!(log.contains(told), "{log}");
    // Kubelet is not to end an agent for this.
    assert_eq!(check(&health, "").await, Ok(Serving));
    occupied.end().await;
    let device = rig.device("sim-0").await;
    let name = before["launch"].as_str().unwrap();
    let launch = eventually("the launch to be finished", async || {
        let launch = device.get(name).await.unwrap();
        (launch.state() == LaunchState::Finished).then_some(launch)
    })
    .await;
    assert_eq!(before["totalPages"], launch.installed_pages);
    assert_eq!(check(&health, "controller").await, Ok(NotServing));
    assert_ne!(rig.status("it")["state"], "FINISHED", "nobody took it");

    rig.api.again().await;
    let status = rig.until_reason("it", "Finished", "FINISHED").await;
    assert_eq!(status["state"], "FINISHED");
    assert_eq!(status["launchUid"], before["launchUid"]);
    assert_eq!(status["installedPages"], status["totalPages"]);
    assert_eq!(rig.only_launch().await.uid, launch.uid, "none besides");
    // Also where nothing has changed meanwhile, as with LaunchImages here.
    becomes(&health, "controller", Serving).await;
    // What comes now is carried out as what came before.
    rig.pod("next", "sim-1");
    let mut next = spec("sim", &reference);
    next["podName"] = json!("next");
    rig.launch("next", &next);
    rig.until_reason("next", "Finished", "FINISHED").await;
    assert_eq!(rig.launches().await.len(), 2);
}
