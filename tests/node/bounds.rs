//! What a device may take, and of what platform.

use stagepages_proto::v1::Platform;
use stagepages_tests::{Api, eventually, refused};

use crate::place::{Place, anywhere, on};

/// Connections of one device.
const CONNECTIONS: usize = 16;

#[tokio::test]
async fn a_device_has_one_launch_that_lives() {
    let place = Place::new();
    let daemon = place.start();
    let api = place.api("sim-0").await;
    api.create("a", anywhere()).await.unwrap();
    let refusal = refused(api.create("b", anywhere()).await, "QUOTA_EXCEEDED");
    refusal.has_quota("tenant.device:sim-0.live_launches");
    // A repeat is no new launch, and another device has its own.
    api.create("a", anywhere()).await.unwrap();
    let other = place.api("sim-1").await;
    other.create("b", anywhere()).await.unwrap();
    api.abort("launches/a").await.unwrap();
    eventually("the end of the first", async || {
        api.create("b", anywhere()).await.ok()
    })
    .await;
    daemon.stop();
}

#[tokio::test]
async fn a_device_keeps_few_launches_that_are_over() {
    let place = Place::new();
    let daemon = place.start();
    let api = place.api("sim-0").await;
    for number in 0..16 {
        let id = format!("vm-{number}");
        eventually("room for a live launch", async || {
            api.create(&id, anywhere()).await.ok()
        })
        .await;
        api.abort(&format!("launches/{id}")).await.unwrap();
    }
    let refusal = refused(api.create("vm-16", anywhere()).await, "QUOTA_EXCEEDED");
    refusal.has_quota("tenant.device:sim-0.launches");
    eventually("the end of the last", async || {
        api.delete("launches/vm-15").await.ok()
    })
    .await;
    api.create("vm-16", anywhere()).await.unwrap();
    daemon.stop();
}

#[tokio::test]
async fn a_device_is_of_one_platform() {
    let place = Place::new();
    let daemon = place.start();
    let api = place.api("sim-0").await;
    for other in [Platform::Kvm, Platform::SevSnp, Platform::Tdx] {
        let refusal = refused(api.create("vm", on(other)).await, "PERMISSION");
        assert_eq!(refusal.meta("platform"), "sim");
        for part in ["device sim-0", "sim alone", "name sim or none"] {
            assert!(refusal.message.contains(part), "{refusal:?}");
        }
    }
    let kvm = place.api("kvm-0").await;
    refused(kvm.create("vm", on(Platform::Sim)).await, "PERMISSION");
    let launch = api.create("vm", on(Platform::Sim)).await.unwrap();
    assert_eq!(launch.spec.unwrap().platform(), Platform::Sim);
    daemon.stop();
}

#[tokio::test]
async fn the_node_tells_how_many_there_are_of_each_platform() {
    let place = Place::new();
    let daemon = place.start();
    let info = Api::unix(daemon.socket()).await.node_info().await;
    let devices = |platform: Platform| {
        let mut platforms = info.platforms.iter();
        let found = platforms.find(|info| info.platform() == platform);
        found.unwrap().devices
    };
    assert_eq!(devices(Platform::Sim), 2);
    assert_eq!(devices(Platform::Kvm), 1);
    // As many as there are ASIDs, where the kernel tells.
    let snp = info
        .platforms
        .iter()
        .find(|it| it.platform() == Platform::SevSnp);
    let capacity = snp.unwrap().capacity.map_or(0, |capacity| capacity.total);
    assert_eq!(u64::from(devices(Platform::SevSnp)), capacity);
    daemon.stop();
}

#[tokio::test]
async fn a_crowd_at_one_device_is_in_nobody_elses_way() {
    let place = Place::new();
    let daemon = place.start();
    let mut crowd = Vec::new();
    for _ in 0..CONNECTIONS {
        let api = place.api("sim-0").await;
        refused(api.get("launches/none").await, "LAUNCH_NOT_FOUND");
        crowd.push(api);
    }
    let late = Api::try_unix(&place.socket("sim-0")).await;
    if let Some(late) = late {
        let error = late.get("launches/none").await.unwrap_err();
        assert!(error.details().is_empty(), "closed, not answered: {error}");
    }
    let others = [
        Api::unix(daemon.socket()).await,
        place.api("sim-1").await,
        crowd.swap_remove(0),
    ];
    for api in &others {
        refused(api.get("launches/none").await, "LAUNCH_NOT_FOUND");
    }
    // One that goes makes room.
    drop(crowd.pop());
    eventually("a place for one more", async || {
        let api = Api::try_unix(&place.socket("sim-0")).await?;
        let error = api.get("launches/none").await.unwrap_err();
        (!error.details().is_empty()).then_some(())
    })
    .await;
    daemon.stop();
}
