//! What the audit log says of the lives of launches and images.

use serde_json::{Value, json};
use stagepages_proto::v1::{
    DeleteImageRequest, LaunchSpec, Platform, RealModeState, StartLaunchRequest, VcpuState,
    WriteImageRequest, image_service_client::ImageServiceClient, vcpu_state,
    write_image_request::Content,
};
use stagepages_tests::{
    Bench, Contents, DaemonOptions, Extent, PAGE, eventually, on_every_platform, on_platform, page,
    region, spec,
};

use super::audit_log::{events, of, place, records, sound, until};

/// What a record says that does not differ from run to run.
fn essence(record: &Value) -> Value {
    let launch = &record["launch"];
    let method = record["method"].as_str();
    json!([
        record["event"],
        record["outcome"],
        method.map(|method| method.rsplit('/').next()),
        launch["state"],
        launch["installed_pages"],
        launch["reason"],
    ])
}

fn essences(records: &[Value]) -> Vec<Value> {
    records.iter().map(essence).collect()
}

async fn stage(bench: &Bench, name: &str, pages: u64) {
    let data = Contents::new(1).pages(pages);
    let extent = Extent::normal(page(0), data);
    bench.api.stage(name, extent).await.unwrap();
}

/// Deletes a launch once its host is gone.
async fn delete(bench: &Bench, name: &str) {
    eventually("the end of a launch's host", async || {
        let released = bench.api.get(name).await.unwrap().resources_released;
        released.then_some(())
    })
    .await;
    bench.api.delete(name).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_state_of_a_launch_is_one_record_by_whoever_brought_it_there() {
    on_every_platform(async |bench| {
        let launch = bench.launch("vm").await;
        // It is answered for when it is on the disk.
        let first = of(&records(&place(bench)), &launch.uid);
        assert_eq!(events(&first), ["launch.created"]);
        stage(bench, &launch.name, 3).await;
        until(&place(bench), "the first page", |all| {
            of(all, &launch.uid).len() == 2
        })
        .await;
        let finished = bench.api.finish(&launch.name, vec![]).await.unwrap();
        until(&place(bench), "the finish", |all| {
            of(all, &launch.uid).len() == 3
        })
        .await;
        bench.api.abort(&launch.name).await.unwrap();
        delete(bench, &launch.name).await;
        let all = until(&place(bench), "the deletion", |all| {
            of(all, &launch.uid).len() == 5
        })
        .await;
        let its = of(&all, &launch.uid);
        assert_eq!(
            essences(&its),
            [
                json!(["launch.created", "ok", "CreateLaunch", "CREATED", 0, null]),
                json!(["launch.staging", "ok", "StagePages", "STAGING", 3, null]),
                json!(["launch.finished", "ok", "FinishLaunch", "FINISHED", 3, null]),
                json!([
                    "launch.aborted",
                    "ok",
                    "AbortLaunch",
                    "ABORTED",
                    3,
                    "REQUESTED"
                ]),
                json!([
                    "launch.deleted",
                    "ok",
                    "DeleteLaunch",
                    "ABORTED",
                    3,
                    "REQUESTED"
                ]),
            ]
        );
        let digest = &finished.launch_digest;
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            its[2]["launch"]["launch_digest"].as_str().unwrap_or(""),
            hex
        );
        let uid = nix::unistd::geteuid();
        for record in &its {
            assert_eq!(record["launch"]["id"], "vm");
            assert_eq!(record["identity"], format!("uid:{uid}"));
            let address = record["address"].as_str().unwrap();
            let pid = std::process::id();
            assert!(address.ends_with(&format!(",pid={pid}")), "{address}");
        }
        sound(&place(bench));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_daemon_does_by_itself_is_nobodys_doing() {
    on_platform(&DaemonOptions::new(), Platform::Sim, async |bench| {
        let short = LaunchSpec {
            lease: Some(prost_types::Duration {
                seconds: 1,
                nanos: 0,
            }),
            ..spec(bench.platform, [region(page(0), PAGE)])
        };
        let expires = bench.api.create("expires", short).await.unwrap();
        let dies = bench.launch("dies").await;
        let host = bench.daemon.find_host(&dies).unwrap();
        nix::sys::signal::kill(host, nix::sys::signal::Signal::SIGKILL).unwrap();
        for (launch, reason) in [(expires, "LEASE_EXPIRED"), (dies, "HOST_DIED")] {
            let all = until(&place(bench), "the end of a launch", |all| {
                of(all, &launch.uid).len() == 2
            })
            .await;
            let end = &of(&all, &launch.uid)[1];
            assert_eq!(
                essence(end),
                json!(["launch.aborted", "ok", null, "ABORTED", 0, reason])
            );
            assert_eq!(end["identity"], Value::Null);
            assert_ne!(end["launch"]["cause"], "");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_s_start_and_its_own_end_are_told() {
    on_platform(&DaemonOptions::new(), Platform::Kvm, async |bench| {
        let state = VcpuState {
            index: 0,
            state: Some(vcpu_state::State::RealMode(RealModeState::default())),
        };
        let spec = LaunchSpec {
            vcpus: 1,
            vcpu_states: vec![state],
            ..spec(bench.platform, [region(page(0), 16 * PAGE)])
        };
        let launch = bench.api.create("guest", spec).await.unwrap();
        // hlt, with interrupts off.
        let mut code = vec![0xf4];
        code.resize(usize::try_from(PAGE).unwrap(), 0xcc);
        let extent = Extent::normal(page(0), code);
        bench.api.stage(&launch.name, extent).await.unwrap();
        bench.api.finish(&launch.name, vec![]).await.unwrap();
        let request = StartLaunchRequest {
            name: launch.name.clone(),
            uid: String::new(),
        };
        let mut launches = bench.api.launches.clone();
        launches.start_launch(request).await.unwrap();
        let all = until(&place(bench), "the guest's end", |all| {
            of(all, &launch.uid).len() == 5
        })
        .await;
        assert_eq!(
            essences(&of(&all, &launch.uid))[3..],
            [
                json!(["launch.running", "ok", "StartLaunch", "RUNNING", 1, null]),
                json!(["launch.stopped", "ok", null, "STOPPED", 1, "HALTED"]),
            ]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_and_the_daemon_itself_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let options = DaemonOptions::new().state_dir(dir.path());
    let log = dir.path().join("audit");
    let bench = Bench::start(&options, Platform::Sim).await.unwrap();
    let bytes = Contents::new(3).pages(2);
    let digest = {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(&bytes);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    };
    let name = format!("images/{digest}");
    let mut images = ImageServiceClient::new(bench.api.channel.clone());
    let write = WriteImageRequest {
        name: name.clone(),
        size: bytes.len() as u64,
        upload_id: "a".to_owned(),
        offset: 0,
        content: Some(Content::Data(bytes.clone())),
    };
    images
        .write_image(tokio_stream::iter([write]))
        .await
        .unwrap();
    let delete = DeleteImageRequest { name };
    images.delete_image(delete).await.unwrap();
    bench.daemon.stop();
    let all = records(&log);
    assert_eq!(
        events(&all),
        [
            "daemon.started",
            "image.stored",
            "image.deleted",
            "daemon.draining",
            "daemon.ended"
        ]
    );
    assert_eq!(
        all[1]["image"],
        json!({"digest": digest, "size": bytes.len()})
    );
    assert_eq!(all[2]["image"], json!({"digest": digest}));
    assert_eq!(all[0]["daemon"]["epoch"], 1);
    sound(&log);
    // The chain goes on with the next daemon.
    Bench::start(&options, Platform::Sim)
        .await
        .unwrap()
        .daemon
        .stop();
    let document = sound(&log);
    assert_eq!(
        (&document["first"], &document["records"]),
        (&json!(1), &json!(8))
    );
}
