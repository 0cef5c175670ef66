//! Policies that are wrong: none is started with, and a bad change changes nothing.

use std::{fs, os::unix::fs::PermissionsExt as _};

use stagepages_tests::{Daemon, DaemonOptions, refused};

use crate::town::{Town, person, policy};

/// What a daemon says that does not start with this policy.
fn refusal(text: &str, mode: u32) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    let options = DaemonOptions::new().flag(&format!("--policy={}", path.display()));
    match Daemon::try_start(&options) {
        Ok(_) => panic!("it started"),
        Err(failed) => failed.log,
    }
}

#[test]
fn a_daemon_does_not_start_with_a_policy_that_is_wrong() {
    let log = refusal(
        "[[caller]]\nidentity = \"nobody\"\ntenant = \"a\"\nroles = [\"viewer\"]\n",
        0o600,
    );
    assert!(
        log.contains("line 1") && log.contains("spiffe://DOMAIN/PATH"),
        "{log}"
    );
    let log = refusal(&policy(), 0o666);
    assert!(log.contains("chmod go-w"), "{log}");
    let log = refusal("[tenants.blue]\n", 0o600);
    assert!(log.contains("tenants"), "{log}");
}

#[tokio::test]
async fn a_bad_change_keeps_the_old_policy_and_says_so_once() {
    let town = Town::with("");
    let viewer = town.api(person("blue", "viewer")).await;
    for (nth, bad) in ["x = 1\n", "[[caller]]\n", "\u{0}"].into_iter().enumerate() {
        town.write_policy(bad);
        town.logged("the policy stays as it was", nth + 1).await;
        refused(viewer.get("launches/none").await, "LAUNCH_NOT_FOUND");
    }
    town.write_policy("");
    town.logged("policy read again", 1).await;
    refused(viewer.get("launches/none").await, "PERMISSION");
    assert_eq!(
        town.daemon
            .log()
            .matches("the policy stays as it was")
            .count(),
        3
    );
}
