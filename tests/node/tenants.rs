//! Who is connected to a device's socket is that device: it has its own launches and images, and nobody else's.

use sha2::{Digest as _, Sha256};
use stagepages_proto::v1::image_service_client::ImageServiceClient;
use stagepages_proto::v1::{
    DeleteImageRequest, GrantImageRequest, LaunchState, ListImagesRequest, ListLaunchesRequest,
    Platform, StartLaunchRequest, WriteImageRequest, write_image_request::Content,
};
use stagepages_tests::{Api, Contents, Extent, User, eventually, page, refused, stagectl};
use tonic::{Code, Status};

use crate::place::{Place, STRANGER, anywhere, on};

async fn write(api: &Api, bytes: &[u8]) -> Result<String, Status> {
    let digest = Sha256::digest(bytes);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let name = format!("images/sha256:{hex}");
    let size = bytes.len() as u64;
    let request = WriteImageRequest {
        name: name.clone(),
        size,
        upload_id: "one".to_owned(),
        offset: 0,
        content: Some(Content::Data(bytes.to_vec().into())),
    };
    let mut client = ImageServiceClient::new(api.channel.clone());
    client.write_image(tokio_stream::iter([request])).await?;
    Ok(name)
}

async fn images(api: &Api) -> usize {
    let mut client = ImageServiceClient::new(api.channel.clone());
    let answer = client.list_images(ListImagesRequest::default()).await;
    answer.unwrap().into_inner().images.len()
}

async fn launches(api: &Api) -> usize {
    let request = ListLaunchesRequest::default();
    let answer = api.launches.clone().list_launches(request).await;
    answer.unwrap().into_inner().launches.len()
}

#[tokio::test]
async fn a_device_makes_and_ends_its_launch_whatever_its_user() {
    let place = Place::new();
    let daemon = place.start();
    let api = place.api("sim-1").await;
    let launch = api.create("vm", anywhere()).await.unwrap();
    assert_eq!(launch.spec.unwrap().platform(), Platform::Sim);
    let data = Contents::new(1).pages(2);
    api.stage("launches/vm", Extent::normal(page(0), data))
        .await
        .unwrap();
    // Root on the same socket is the same device, and so is anybody else.
    let root = Api::unix_as(&place.socket("sim-1"), User { uid: 0, gid: 0 }).await;
    assert_eq!(root.get("launches/vm").await.unwrap().uid, launch.uid);
    let finished = root.finish("launches/vm", Vec::new()).await.unwrap();
    assert_eq!(finished.state(), LaunchState::Finished);
    // The simulator runs no guests; that is all that is in the way.
    let start = StartLaunchRequest {
        name: "launches/vm".to_owned(),
        ..StartLaunchRequest::default()
    };
    let started = api.launches.clone().start_launch(start).await;
    assert_ne!(started.unwrap_err().code(), Code::PermissionDenied);
    api.abort("launches/vm").await.unwrap();
    eventually("the end of the launch", async || {
        api.delete("launches/vm").await.ok()
    })
    .await;
    daemon.stop();
}

#[tokio::test]
async fn devices_and_the_main_socket_see_nothing_of_each_other() {
    let place = Place::new();
    let daemon = place.start();
    let main = Api::unix(daemon.socket()).await;
    let (one, other) = (place.api("sim-0").await, place.api("sim-1").await);
    for api in [&main, &one, &other] {
        // One id, three tenants.
        api.create("vm", on(Platform::Sim)).await.unwrap();
    }
    main.create("own", on(Platform::Sim)).await.unwrap();
    // Who runs the daemon looks at what a device has, and does nothing to it.
    let as_device = |rest: &[&str]| {
        let named = ["--tenant", "device:sim-1"];
        stagectl::stagectl(&daemon, &[&named[..], rest].concat())
    };
    let seen = as_device(&["launch", "list", "--output", "json"]).document();
    let uid = other.get("launches/vm").await.unwrap().uid;
    assert_eq!(seen["launches"].as_array().unwrap().len(), 1, "{seen}");
    assert_eq!(seen["launches"][0]["uid"], uid);
    let aborted = as_device(&["launch", "abort", "vm"]);
    assert!(aborted.stderr.contains("PERMISSION"), "{aborted:?}");
    for api in [&one, &other] {
        refused(api.get("launches/own").await, "LAUNCH_NOT_FOUND");
        refused(api.abort("launches/own").await, "LAUNCH_NOT_FOUND");
        assert_eq!(launches(api).await, 1);
    }
    one.abort("launches/vm").await.unwrap();
    for api in [&main, &other] {
        let state = api.get("launches/vm").await.unwrap().state();
        assert_eq!(state, LaunchState::Created);
    }
    let image = Contents::new(7).pages(1);
    let name = write(&one, &image).await.unwrap();
    let counts = (
        images(&one).await,
        images(&other).await,
        images(&main).await,
    );
    assert_eq!(counts, (1, 0, 0));
    // What is given to a device is there: an orchestrator's way to have an image on the node before the workload.
    let mut giver = ImageServiceClient::new(main.channel.clone());
    let grant = |name: &str, tenant: &str| GrantImageRequest {
        name: name.to_owned(),
        tenant: tenant.to_owned(),
    };
    let second = write(&main, &Contents::new(8).pages(1)).await.unwrap();
    giver
        .grant_image(grant(&second, "device:sim-1"))
        .await
        .unwrap();
    assert_eq!(images(&other).await, 1);
    // What concerns others is not a device's.
    let mut taker = ImageServiceClient::new(one.channel.clone());
    refused(taker.grant_image(grant(&name, "local")).await, "PERMISSION");
    // Its images are, and nobody else's: whoever has the same keeps it.
    let theirs = DeleteImageRequest {
        name: second.clone(),
    };
    refused(taker.delete_image(theirs).await, "IMAGE_NOT_FOUND");
    taker
        .delete_image(DeleteImageRequest { name })
        .await
        .unwrap();
    let left = (
        images(&one).await,
        images(&other).await,
        images(&main).await,
    );
    assert_eq!(left, (0, 1, 1));
    daemon.stop();
}

#[tokio::test]
async fn the_main_socket_is_not_opened_by_a_device() {
    let place = Place::new();
    let daemon = place.start();
    let error = STRANGER.connect(daemon.socket()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    daemon.stop();
}

#[tokio::test]
async fn the_audit_log_names_the_device() {
    let place = Place::new();
    let daemon = place.start();
    let api = place.api("sim-0").await;
    let launch = api.create("vm", anywhere()).await.unwrap();
    let log = daemon.dir().join("state/audit/audit.jsonl");
    let record = eventually("the record of the creation", async || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let mut lines = text.lines();
        lines
            .find(|line| line.contains(&launch.uid))
            .map(str::to_owned)
    })
    .await;
    for part in [
        "\"identity\":\"device:sim-0\"",
        "\"tenant\":\"device:sim-0\"",
        "unix:uid=51234,gid=51234,",
    ] {
        assert!(record.contains(part), "{part} is not in {record}");
    }
    daemon.stop();
}
