//! Who is at a Unix socket: the kernel says, and nobody else.

use stagepages_tests::{Api, Daemon, DaemonOptions, User, refused};

use crate::town::{STRANGER, Town, entry, person};

#[tokio::test]
async fn without_a_policy_the_daemons_user_may_do_all_and_others_nothing() {
    let daemon = Daemon::start(&DaemonOptions::new().without_tcp());
    let own = Api::unix(daemon.socket()).await;
    refused(own.get("launches/none").await, "LAUNCH_NOT_FOUND");
    // The file's mode keeps others out, before the daemon has to.
    let error = STRANGER.connect(daemon.socket()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    let town = Town::start("", DaemonOptions::new());
    let stranger = town.api(STRANGER).await;
    refused(stranger.get("launches/none").await, "PERMISSION");
}

#[tokio::test]
async fn an_empty_policy_lets_nobody_in_not_even_root() {
    let town = Town::start("", DaemonOptions::new());
    let root = User { uid: 0, gid: 0 };
    let refusal = refused(
        town.api(root).await.get("launches/none").await,
        "PERMISSION",
    );
    assert!(refusal.message.contains("uid:0 is nobody"), "{refusal:?}");
}

#[tokio::test]
async fn a_user_is_known_before_its_group() {
    let by_group = entry("gid:77", "red", &["viewer"]);
    let town = Town::with(&by_group);
    let blue = person("blue", "stager");
    let in_group = |uid| User { uid, gid: 77 };
    let known = town.api(in_group(blue.uid)).await;
    known.create("vm", crate::calls::spec()).await.unwrap();
    let other = town.api(in_group(4242)).await;
    refused(other.get("launches/vm").await, "LAUNCH_NOT_FOUND");
    refused(other.create("vm", crate::calls::spec()).await, "PERMISSION");
}

#[tokio::test]
async fn who_connected_counts_not_who_sends() {
    let town = Town::with("");
    let socket = person("blue", "viewer").connect(&town.socket()).unwrap();
    // Root goes on with it, and is still blue's viewer.
    let api = Api::over_unix(socket).await;
    refused(api.create("vm", crate::calls::spec()).await, "PERMISSION");
    refused(api.get("launches/vm").await, "LAUNCH_NOT_FOUND");
}
