//! Registries that want to know who asks, and registries by TLS.

use std::fs;

use serde_json::{Value, json};

use super::{
    bad_registry::{Bad, Manner, truly},
    registry::{Registry, USER},
    rig::{Rig, large, said},
};

/// What is said of a pull that fails so.
async fn fails(rig: &Rig, name: &str, reason: &str, says: &str) {
    let status = rig.until_reason(name, "ImageReady", reason).await;
    let (_, message) = said(&status, "ImageReady");
    assert!(message.contains(says), "{says}: {message}");
    assert_eq!(status["state"], "PENDING", "it can be mended: {status:#}");
}

/// Neither the log nor any status has it.
fn is_secret(rig: &Rig, names: &[String], secret: &str) {
    let log = rig.agent.as_ref().unwrap().log();
    assert!(!log.contains(secret), "{log}");
    for name in names {
        let status = rig.status(name).to_string();
        assert!(!status.contains(secret), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_missing_unusable_wrong_and_right() {
    let Some(mut rig) = Rig::running().await else {
        return;
    };
    let reference = rig.push(&large(3));
    let guarded = Registry::with_login(rig.dir.path()).await;
    let (host, reference) = (guarded.host(), guarded.here(&reference));
    rig.trust(&host);
    rig.kill();
    rig.begin();
    let unauthorized = "REGISTRY_UNAUTHORIZED";
    let mut names = vec![rig.launch_apart(0, &reference)];
    fails(&rig, &names[0], unauthorized, "with --registry-auth").await;

    // From here on there is a file, which is read anew each time.
    rig.kill();
    let file = rig.dir.path().join("auth.json");
    rig.set("REGISTRY_AUTH", file.to_str().unwrap());
    rig.begin();
    let other = json!({ "auths": { "elsewhere": { "username": USER, "password": "hunter2" } } });
    let wrong = json!({ "auths": { &host: { "username": USER, "password": "hunter3" } } });
    let cases: [(String, String); 5] = [
        (
            String::new(),
            "no Docker configuration at line 1".to_owned(),
        ),
        (
            json!({ "auths": { &host: "hunter2" } }).to_string(),
            "no Docker configuration at line 1".to_owned(),
        ),
        (
            json!({ "auths": { &host: { "auth": "hunter2!" } } }).to_string(),
            format!("its entry for {host}"),
        ),
        (other.to_string(), format!("no credentials for {host}")),
        (wrong.to_string(), "refuses the credentials".to_owned()),
    ];
    for (nth, (text, says)) in cases.into_iter().enumerate() {
        fs::write(&file, text).unwrap();
        let name = rig.launch_apart(nth + 1, &reference);
        fails(&rig, &name, unauthorized, &says).await;
        rig.until_told(&name, &["RegistryUnauthorized"]).await;
        names.push(name);
    }
    let right: Value = json!({ "auths": { &host: { "username": USER, "password": "hunter2" } } });
    fs::write(&file, right.to_string()).unwrap();
    let name = rig.launch_apart(6, &reference);
    rig.until_reason(&name, "Finished", "FINISHED").await;
    // So are those that waited, without another word.
    rig.until_reason(&names[5], "Finished", "FINISHED").await;
    for secret in ["hunter2", "hunter3"] {
        is_secret(&rig, &names, secret);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_where_the_registry_says() {
    let mut rig = Rig::new().await;
    let blob = large(3);
    let manifest = truly(&blob);
    // me:hunter2, in base64.
    let manner = Manner::Token(manifest.clone(), blob, "bwu6ahvudgvymg==");
    let server = Bad::start(manner).await;
    let reference = server.reference(&manifest);
    rig.trust(&server.host);
    let file = rig.dir.path().join("auth.json");
    rig.set("REGISTRY_AUTH", file.to_str().unwrap());
    rig.begin();
    fs::write(&file, "{}").unwrap();
    let first = rig.launch_apart(0, &reference);
    fails(&rig, &first, "REGISTRY_UNAUTHORIZED", "no credentials for").await;
    // As `docker login` writes it.
    let right = json!({ "auths": { &server.host: { "auth": "bWU6aHVudGVyMg==" } } });
    fs::write(&file, right.to_string()).unwrap();
    rig.until_reason(&first, "Finished", "FINISHED").await;
    is_secret(&rig, &[first], "sesame");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_of_ones_own_has_to_be_named() {
    let Some(mut rig) = Rig::running().await else {
        return;
    };
    let reference = rig.push(&large(3));
    let secure = Registry::with_tls(rig.dir.path(), rig.daemon.pki()).await;
    let name = rig.launch_apart(0, &secure.here(&reference));
    fails(&rig, &name, "REGISTRY_UNREACHABLE", "--registry-ca").await;
    rig.kill();
    rig.set(
        "REGISTRY_CA",
        rig.daemon.pki().path("ca.crt").to_str().unwrap(),
    );
    rig.begin();
    rig.until_reason(&name, "Finished", "FINISHED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_without_tls_is_not_spoken_to_unless_it_was_named() {
    let Some(mut rig) = Rig::running().await else {
        return;
    };
    let reference = rig.push(&large(3));
    rig.kill();
    let plain = rig.distrust();
    rig.begin();
    let name = rig.launch_apart(0, &reference);
    fails(&rig, &name, "REGISTRY_UNREACHABLE", "speaks TLS").await;
    rig.kill();
    rig.trust(&plain);
    rig.begin();
    rig.until_reason(&name, "Finished", "FINISHED").await;
}
