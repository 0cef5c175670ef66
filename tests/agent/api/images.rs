//! LaunchImage: each node says whether it has it, and what launches of it end in.

use serde_json::{Value, json};
use stagepages_tests::eventually;

use super::{
    asker::{Ask, ask},
    bad_registry::{Bad, Manner, truly},
    rig::{Rig, large, spec},
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

/// Wanted on this node.
fn want(rig: &Rig, name: &str, reference: &str) {
    let spec = json!({ "platform": "sim", "image": { "ref": reference } });
    let image = json!({ "metadata": { "name": name }, "spec": spec });
    rig.api.create(IMAGES, "", image).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_as_it_is_is_told_once_however_often_it_is_tried() {
    let mut rig = Rig::new().await;
    let server = Bad::start(Manner::Status(404)).await;
    rig.trust(&server.host);
    want(&rig, "it", &server.reference(&truly(b"nothing")));
    rig.begin();
    let entry = async || {
        eventually("a word about it", async || {
            entry_of(&status(&rig.api, "it"), "node-1").cloned()
        })
        .await
    };
    let first = entry().await;
    assert_eq!(first["reason"], "IMAGE_NOT_IN_REGISTRY");
    eventually("the fifth attempt", async || {
        (server.attempts() >= 5).then_some(())
    })
    .await;
    assert_eq!(entry().await, first, "since when it is so, too");
    assert_eq!(rig.api.times_told("it"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_do_not_fit_beside_each_other_do_not_push_each_other_out() {
    let mut rig = Rig::new().await;
    if rig.registry.is_none() {
        return;
    }
    let files = [large(100), large(101)];
    rig.set(
        "CACHE_BYTES",
        (files[0].len() + files[1].len() - 1).to_string(),
    );
    let references = files.each_ref().map(|file| rig.push(file));
    for (name, reference) in ["first", "second"].iter().zip(&references) {
        want(&rig, name, reference);
    }
    rig.begin();
    let reason = |name: &str| {
        let status = status(&rig.api, name);
        let entry = entry_of(&status, "node-1");
        entry.and_then(|it| Some(it["reason"].as_str()?.to_owned()))
    };
    let reasons = eventually("one to be kept, and one not", async || {
        let reasons = [reason("first")?, reason("second")?];
        let are_there = ["NOT_KEPT", "PULLED"].map(|it| reasons.iter().any(|told| told == it));
        (are_there == [true; 2]).then_some(reasons)
    })
    .await;
    let left_out = usize::from(reasons[1] == "NOT_KEPT");
    let blobs = rig.cache().join("blobs").read_dir().unwrap();
    let lengths: Vec<_> = blobs
        .map(|it| it.unwrap().metadata().unwrap().len())
        .collect();
    let there = u64::try_from(files[1 - left_out].len()).unwrap();
    assert_eq!(lengths, [there], "no more than there is room for");
    // Whoever needs it now gets it in the place of the other.
    rig.pod("vm", "sim-0");
    rig.launch("it", &spec("sim", &references[left_out]));
    rig.until_reason("it", "Finished", "FINISHED").await;
}
