//! LaunchImage: each node says whether it has it, and what launches of it end in.

use serde_json::{Value, json};
use stagepages_tests::eventually;

use super::{
    rig::{Rig, large},
    stand_in::{ApiServer, IMAGES},
};

fn status(api: &ApiServer, name: &str) -> Value {
    api.get(IMAGES, "", name)
        .map_or(Value::Null, |it| it["status"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_selected_pulls_it_and_tells_its_digests() {
    let Some(rig) = Rig::running().await else {
        return;
    };
    let reference = rig
        .registry
        .as_ref()
        .unwrap()
        .push("team/guest", &[("guest", &large(3))]);
    let spec = |pool: &str, file: &str| json!({ "platform": "sim", "image": { "ref": reference, "file": file }, "nodeSelector": { "pool": pool }, "vcpus": [1, 2] });
    for (name, pool, file) in [
        ("here", "a", "guest"),
        ("there", "b", "guest"),
        ("wrong", "a", "none"),
    ] {
        let image = json!({ "metadata": { "name": name }, "spec": spec(pool, file) });
        rig.api.create(IMAGES, "", image).unwrap();
    }
    let here = eventually("this node to have it", async || {
        let status = status(&rig.api, "here");
        (status["nodes"][0]["ready"] == "True").then_some(status)
    })
    .await;
    assert_eq!(here["nodes"][0]["node"], "node-1");
    let digests = here["expectedDigests"].as_array().unwrap();
    assert_eq!(digests.len(), 2);
    assert_ne!(
        digests[0]["digest"], digests[1]["digest"],
        "vCPUs are measured"
    );
    let wrong = eventually("the other to be told", async || {
        let status = status(&rig.api, "wrong");
        status["nodes"][0]["reason"].is_string().then_some(status)
    })
    .await;
    assert_eq!(wrong["nodes"][0]["reason"], "IMAGE_FILE_NOT_FOUND");
    assert_eq!(status(&rig.api, "there")["nodes"], Value::Null);
    // It is not this node's any more.
    rig.api.merge(
        IMAGES,
        "",
        "here",
        &json!({ "metadata": { "generation": 2 }, "spec": { "nodeSelector": { "pool": "b" } } }),
    );
    eventually("this node to say nothing of it", async || {
        status(&rig.api, "here")["nodes"].is_null().then_some(())
    })
    .await;
}
