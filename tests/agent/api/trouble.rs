//! What does not go well, and what is said of it.

use serde_json::json;
use stagepages_tests::eventually;

use super::{
    rig::{Rig, SPACE, condition, large, spec},
    stand_in::{LAUNCHES, PODS},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_only_another_object_can_mend_is_told_and_over() {
    let Some(rig) = Rig::running().await else {
        return;
    };
    let registry = rig.registry.as_ref().unwrap();
    let good = registry.push("team/guest", &[("guest", &large(2))]);
    let junk = registry.push("team/junk", &[("junk", b"no image at all")]);
    let list = registry.push(
        "team/list",
        &[(
            "list.toml",
            b"version = 1\nplatform = \"sim\"\n[[extent]]\nfile = \"/etc/passwd\"\n",
        )],
    );
    let several = registry.push("team/several", &[("a", b"a"), ("b", b"b")]);
    rig.pod("vm", "sim-0");
    for (name, spec, reason) in [
        ("junk", spec("sim", &junk), "IMAGE_INVALID"),
        ("list", spec("sim", &list), "IMAGE_INVALID"),
        ("several", spec("sim", &several), "IMAGE_FILE_NOT_FOUND"),
        (
            "kernel",
            {
                let mut spec = spec("sim", &good);
                spec["settings"] = json!({ "memory": ["0x0+4K"] });
                spec
            },
            "IMAGE_INVALID",
        ),
        (
            "foreign",
            {
                let mut spec = spec("sim", &good);
                spec["platform"] = json!("kvm");
                spec
            },
            "POD_WITHOUT_DEVICE",
        ),
    ] {
        rig.launch(name, &spec);
        let status = rig.until_state(name, "FAILED").await;
        let failed = condition(&status, "Failed");
        let told = (
            failed["reason"].as_str().unwrap(),
            failed["message"].as_str().unwrap(),
        );
        assert!(
            told.0 == reason || (name == "kernel" && told.0 == "PLAN_REFUSED"),
            "{name}: {told:?}"
        );
        rig.until_gone(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn specs_that_the_definition_does_not_have_are_refused_at_admission() {
    let rig = Rig::new().await;
    let reference = format!("r/a@sha256:{}", "0".repeat(64));
    for (change, told) in [
        (json!({ "platform": "xen" }), "platform"),
        (json!({ "podName": null }), "podName"),
        (json!({ "cpus": 3 }), "cpus"),
        (json!({ "settings": { "vcpus": 65 } }), "vcpus"),
        (
            json!({ "settings": { "append": "a".repeat(5000) } }),
            "append",
        ),
        (json!({ "image": { "file": "a" } }), "ref"),
    ] {
        let mut spec = spec("sim", &reference);
        for (name, value) in change.as_object().unwrap() {
            match value.is_null() {
                true => drop(spec.as_object_mut().unwrap().remove(name)),
                false => spec[name] = value.clone(),
            }
        }
        let launch = json!({ "metadata": { "name": "it" }, "spec": spec });
        let refused = rig.api.create(LAUNCHES, SPACE, launch).unwrap_err();
        assert!(refused.contains(told), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_waits_for_its_device_and_two_never_share_one() {
    let Some(rig) = Rig::running().await else {
        return;
    };
    let reference = rig.push(&large(2));
    rig.pod_without_device("vm", "sim");
    rig.launch("first", &spec("sim", &reference));
    rig.until_reason("first", "Bound", "WAITING_FOR_DEVICE")
        .await;
    rig.kubelet.give(SPACE, "vm", "sim-0");
    rig.until_reason("first", "Finished", "FINISHED").await;
    rig.launch("second", &spec("sim", &reference));
    rig.until_reason("second", "Bound", "DEVICE_TAKEN").await;
    // The first goes, and the second has its device.
    rig.api.delete(LAUNCHES, SPACE, "first");
    rig.until_reason("second", "Finished", "FINISHED").await;
    assert_eq!(rig.launches().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_goes_while_it_is_staged_leaves_nothing() {
    let Some(rig) = Rig::running().await else {
        return;
    };
    let reference = rig.push(&large(3000));
    rig.pod("vm", "sim-0");
    for (nth, kind) in [LAUNCHES, PODS].into_iter().enumerate() {
        let name = format!("it-{nth}");
        rig.launch(&name, &spec("sim", &reference));
        rig.until(&name, "created", |it| it["launchUid"].is_string())
            .await;
        match kind == PODS {
            true => rig.api.delete(PODS, SPACE, "vm"),
            false => rig.api.delete(LAUNCHES, SPACE, &name),
        }
        if kind == PODS {
            rig.until(&name, "over", |it| {
                it["state"] == "ABORTED" || it["state"] == "FAILED"
            })
            .await;
            rig.api.delete(LAUNCHES, SPACE, &name);
        }
        eventually("the object to go", async || {
            rig.api.get(LAUNCHES, SPACE, &name).is_none().then_some(())
        })
        .await;
        assert!(rig.launches().await.is_empty());
    }
}
