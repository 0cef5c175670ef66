//! LaunchImage: each node says whether it has it, and what launches of it end in.

use serde_json::{Value, json};
use stagepages_tests::eventually;

use super::{
    asker::{Ask, ask},
    rig::{Rig, large},
    stand_in::{ApiServer, IMAGES, User},
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

/// What the agent of another node applies.
async fn applied_elsewhere(rig: &Rig, status: Value) {
    let token = "token-of-another-agent";
    rig.api.admit(token, User::agent("node-2").bounded());
    let asked = Ask {
        method: "PATCH",
        kind: IMAGES,
        below: "/it/status?fieldManager=stagepages-node-2".to_owned(),
        body: json!({ "status": status }),
    };
    let (code, answer) = ask(&rig.api, token, "", &asked).await;
    assert_eq!(code, 200, "{answer}");
}

fn entry_of<'a>(status: &'a Value, node: &str) -> Option<&'a Value> {
    let entries = status["nodes"].as_array()?;
    entries.iter().find(|it| it["node"] == node)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_that_another_node_told_stays_as_long_as_that_one_stands_by_it() {
    let mut rig = Rig::new().await;
    let Some(registry) = &rig.registry else {
        return;
    };
    let reference = registry.push("team/guest", &[("guest", &large(1))]);
    let spec = json!({ "platform": "sim", "image": { "ref": reference }, "vcpus": [1] });
    let image = json!({ "metadata": { "name": "it" }, "spec": spec });
    rig.api.create(IMAGES, "", image).unwrap();
    let entry = json!({ "node": "node-2", "ready": "True", "reason": "PULLED", "message": "", "lastTransitionTime": "2026-11-23T12:00:00Z" });
    let digests = json!([{ "vcpus": 1, "digest": "0".repeat(96) }]);
    let theirs = json!({ "nodes": [entry], "expectedDigests": digests });
    applied_elsewhere(&rig, theirs).await;
    rig.begin();
    eventually("this node to say that they differ", async || {
        let status = status(&rig.api, "it");
        let entry = entry_of(&status, "node-1")?;
        (entry["reason"] == "DIGEST_MISMATCH" && entry["ready"] == "False").then_some(())
    })
    .await;
    let told = status(&rig.api, "it");
    assert_eq!(told["expectedDigests"], digests);
    assert_eq!(entry_of(&told, "node-2"), Some(&entry));
    applied_elsewhere(&rig, json!({})).await;
    eventually("this node to tell its own", async || {
        let status = status(&rig.api, "it");
        (status["expectedDigests"][0]["digest"].is_string()
            && status["expectedDigests"] != digests
            && entry_of(&status, "node-1")?["ready"] == "True")
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_another_version_tells_another_digest_once_nobody_stands_by_the_old_one() {
    let Some(mut rig) = Rig::running().await else {
        return;
    };
    let registry = rig.registry.as_ref().unwrap();
    let reference = registry.push("team/guest", &[("guest", &large(1))]);
    let spec = json!({ "platform": "sim", "image": { "ref": reference }, "vcpus": [1] });
    let image = json!({ "metadata": { "name": "it" }, "spec": spec });
    rig.api.create(IMAGES, "", image).unwrap();
    let digests = eventually("this node to have it", async || {
        let digests = status(&rig.api, "it")["expectedDigests"].clone();
        digests.is_array().then_some(digests)
    })
    .await;
    rig.kill();
    // As the version before would have told it.
    let old = json!([{ "vcpus": 1, "digest": "0".repeat(96) }]);
    let change = json!({ "status": { "expectedDigests": old } });
    rig.api.merge(IMAGES, "", "it", &change);
    rig.begin();
    eventually("the new digest", async || {
        let status = status(&rig.api, "it");
        (status["expectedDigests"] == digests && entry_of(&status, "node-1")?["ready"] == "True")
            .then_some(())
    })
    .await;
    let denials = rig.api.pardon();
    assert!(
        matches!(denials.as_slice(), [one] if one.ends_with("a digest that another agent told is not changed")),
        "{denials:#?}"
    );
}
