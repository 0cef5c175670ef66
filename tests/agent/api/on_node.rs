//! An image that is named by digest alone: of what is on the node, and no registry is asked.

use std::fs;

use serde_json::{Value, json};

use super::{
    rig::{Rig, large, said, spec},
    stand_in::IMAGES,
};

/// A launch in this pod of what has this digest.
fn by_digest(pod: &str, digest: &str) -> Value {
    let mut spec = spec("sim", "");
    spec["podName"] = json!(pod);
    spec["image"] = json!({ "digest": digest });
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_by_digest_waits_until_the_node_has_it_and_then_needs_no_registry() {
    let Some(mut rig) = Rig::running().await else {
        return;
    };
    let reference = rig.push(&large(3));
    let (_, digest) = reference.split_once('@').unwrap();
    for (pod, device) in [("vm", "sim-0"), ("next", "sim-1"), ("last", "sim-2")] {
        rig.pod(pod, device);
    }
    rig.launch("early", &by_digest("vm", digest));
    let status = rig
        .until_reason("early", "ImageReady", "IMAGE_NOT_ON_NODE")
        .await;
    let (_, message) = said(&status, "ImageReady");
    assert!(
        message.contains(digest) && message.contains("LaunchImage"),
        "{message}"
    );
    assert_eq!(
        (&status["state"], &status["reason"]),
        (&json!("PENDING"), &json!("IMAGE_NOT_ON_NODE"))
    );
    rig.until_told("early", &["ImageNotOnNode"]).await;
    let image = json!({ "platform": "sim", "image": { "ref": reference } });
    let image = json!({ "metadata": { "name": "it" }, "spec": image });
    rig.api.create(IMAGES, "", image).unwrap();
    rig.until_reason("early", "Finished", "FINISHED").await;
    // It is there now, so that the registry can go.
    drop(rig.registry.take());
    rig.launch("later", &by_digest("next", digest));
    rig.until_reason("later", "Finished", "FINISHED").await;
    // Of what is not there any more only the name is known.
    for blob in fs::read_dir(rig.cache().join("blobs")).unwrap() {
        fs::write(blob.unwrap().path(), "damaged").unwrap();
    }
    rig.launch("latest", &by_digest("last", digest));
    let status = rig
        .until_reason("latest", "ImageReady", "IMAGE_NOT_ON_NODE")
        .await;
    let (_, message) = said(&status, "ImageReady");
    let lost = format!("guest of {digest} is not on this node any more");
    assert!(message.starts_with(&lost), "{message}");
    assert_eq!(rig.launches().await.len(), 2);
}
