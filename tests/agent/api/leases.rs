//! The lease of a launch: kept while its agent runs, whatever that waits for; and what is said where it ran out.

use stagepages_tests::{Api, eventually};

use super::{
    bad_registry::{Bad, Manner, truly},
    rig::{Rig, large, said, spec},
};

/// An agent that gives its launches this many seconds.
async fn with_lease(seconds: &str) -> Option<Rig> {
    let mut rig = Rig::new().await;
    rig.registry.as_ref()?;
    rig.set("LAUNCH_LEASE", seconds);
    rig.begin();
    Some(rig)
}

/// Waits until the lease of the only launch ends later than it did.
async fn is_renewed(rig: &Rig) {
    let before = rig.only_launch().await.lease_expire_time.unwrap();
    eventually("a later end of the lease", async || {
        let now = rig.only_launch().await.lease_expire_time.unwrap();
        let is_later = (now.seconds, now.nanos) > (before.seconds, before.nanos);
        is_later.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_waits_is_kept_and_without_its_agent_it_ends() {
    let Some(mut rig) = with_lease("4").await else {
        return;
    };
    let reference = rig.push(&large(2));
    rig.pod("vm", "sim-0");
    rig.launch("kept", &spec("sim", &reference));
    rig.until_reason("kept", "Finished", "FINISHED").await;
    let launch = rig.only_launch().await;
    assert_eq!(launch.spec.unwrap().lease.unwrap().seconds, 4);
    for _ in 0..6 {
        is_renewed(&rig).await;
    }
    assert_eq!(rig.status("kept")["state"], "FINISHED");

    // The agent is away for longer than that.
    rig.kill();
    eventually("the launch to end", async || {
        rig.only_launch().await.abort.map(drop)
    })
    .await;
    rig.begin();
    let status = rig.until_reason("kept", "Failed", "LEASE_EXPIRED").await;
    assert_eq!(status["state"], "ABORTED", "{status:#}");
    let (_, message) = said(&status, "Failed");
    assert!(
        message.contains("delete this ConfidentialLaunch and create another"),
        "{message}"
    );
    rig.until_told("kept", &["LeaseExpired"]).await;
    assert_eq!(rig.only_launch().await.uid, launch.uid, "no other is made");
    rig.until_gone("kept").await;
    assert!(rig.launches().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_is_kept_while_its_image_is_pulled_anew() {
    let Some(mut rig) = with_lease("4").await else {
        return;
    };
    // Large enough that the agent is killed before it has staged all of it.
    let blob = large(6000);
    let manifest = truly(&blob);
    let server = Bad::start(Manner::Wrong(manifest.clone(), blob)).await;
    rig.trust(&server.host);
    rig.kill();
    rig.begin();
    rig.pod("vm", "sim-0");
    rig.launch("kept", &spec("sim", &server.reference(&manifest)));
    rig.until("kept", "created", |it| it["launchUid"].is_string())
        .await;
    rig.kill();
    // Its cache is lost, and the registry is too; and the next agent was given another lease.
    std::fs::remove_dir_all(rig.cache()).unwrap();
    drop(server);
    rig.set("LAUNCH_LEASE", "5");
    rig.begin();
    rig.until_reason("kept", "ImageReady", "REGISTRY_UNREACHABLE")
        .await;
    for _ in 0..6 {
        is_renewed(&rig).await;
    }
    let launch = rig.only_launch().await;
    let device = Api::unix(&rig.dir.path().join("devices/sim-0/api.sock")).await;
    assert!(device.get(&launch.name).await.unwrap().abort.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_another_lease_goes_on_with_what_the_last_one_began() {
    let mut rig = Rig::new().await;
    let Some(reference) = rig.try_push(&large(6000)) else {
        return;
    };
    // None, one, and another one.
    for (nth, lease) in [None, Some("60"), Some("70")].into_iter().enumerate() {
        if let Some(lease) = lease {
            rig.set("LAUNCH_LEASE", lease);
        }
        rig.begin();
        if nth == 0 {
            rig.pod("vm", "sim-0");
            rig.launch("it", &spec("sim", &reference));
        }
        rig.until("it", "created", |it| it["launchUid"].is_string())
            .await;
        rig.kill();
    }
    let launch = rig.only_launch().await;
    rig.begin();
    let status = rig.until_reason("it", "Finished", "FINISHED").await;
    assert_eq!(status["launchUid"], launch.uid);
    assert_eq!(
        rig.only_launch().await.installed_pages,
        status["totalPages"]
    );
}
