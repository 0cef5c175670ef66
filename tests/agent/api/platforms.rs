//! A launch that was put on a node without its platform.

use serde_json::json;
use stagepages_proto::v1::Platform;
use stagepages_tests::{Api, DaemonOptions};

use super::{
    rig::{NODE, Rig, SPACE, large, said, spec},
    stand_in::PODS,
};

/// The way out that the daemon tells of.
async fn remedy(rig: &Rig, platform: Platform) -> String {
    let info = Api::unix(rig.daemon.socket()).await.node_info().await;
    let mut platforms = info.platforms.into_iter();
    let found = platforms.find(|it| it.platform() == platform).unwrap();
    assert!(!found.available, "{found:?}");
    let missing = found.checks.into_iter().find(|it| !it.ok).unwrap();
    missing.remedy
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_the_platform_says_what_it_lacks_and_what_would_mend_it() {
    // A kernel without TDX.
    let mut rig = Rig::with(DaemonOptions::new().model("6.11")).await;
    let Some(reference) = rig.try_push(&large(1)) else {
        return;
    };
    let remedy = remedy(&rig, Platform::Tdx).await;
    rig.pod_without_device("vm", "tdx");
    rig.launch("waits", &spec("tdx", &reference));
    rig.begin();
    let reason = "PLATFORM_UNAVAILABLE";
    let status = rig.until_reason("waits", "Bound", reason).await;
    assert_eq!(status["state"], "PENDING", "it can be mended: {status:#}");
    let (_, message) = said(&status, "Bound");
    for word in ["stagepages.dev/tdx", NODE, &remedy] {
        assert!(message.contains(word), "{word}: {message}");
    }
    rig.until_told("waits", &["PlatformUnavailable"]).await;
    assert!(!rig.cache().join("blobs").read_dir().unwrap().any(|_| true));

    // Kubelet does not admit the Pod, and so it ends.
    let rejected = json!({ "status": {
        "phase": "Failed",
        "reason": "UnexpectedAdmissionError",
        "message": "Allocate failed due to requested number of devices unavailable",
    }});
    rig.api.merge(PODS, SPACE, "vm", &rejected);
    let status = rig.until_state("waits", "FAILED").await;
    let (reason_of_end, message) = said(&status, "Failed");
    assert_eq!(reason_of_end, reason, "{message}");
    for word in ["UnexpectedAdmissionError", "anew", &remedy] {
        assert!(message.contains(word), "{word}: {message}");
    }
    rig.until_gone("waits").await;
    assert!(rig.launches().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_without_devices_is_told_by_what_would_add_some() {
    let Some(rig) = Rig::running().await else {
        return;
    };
    let reference = rig.push(&large(1));
    rig.pod_without_device("vm", "sev-snp");
    rig.launch("waits", &spec("sev-snp", &reference));
    let status = rig
        .until_reason("waits", "Bound", "PLATFORM_UNAVAILABLE")
        .await;
    let (_, message) = said(&status, "Bound");
    assert!(message.contains("stagepages.dev/sev-snp"), "{message}");
    rig.until_gone("waits").await;
}
