use std::os::unix::{fs::PermissionsExt, net::UnixDatagram};

use super::*;

const OWN: Access = Access {
    mode: PRIVATE,
    group: None,
};

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("api.sock");
    (dir, path)
}

#[tokio::test]
async fn only_the_owner_may_connect() {
    let (_dir, path) = place();
    let (_listener, file) = serve(&path, OWN).expect("serves");
    let mode = fs::symlink_metadata(&path)
        .expect("is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    drop(file);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced() {
    let (_dir, path) = place();
    drop(StdUnixListener::bind(&path).expect("binds"));
    assert!(path.exists(), "a dropped listener leaves its file");
    let _served = serve(&path, OWN).expect("replaces it");
    probe(&path).expect("answers");
}

#[tokio::test]
async fn a_living_socket_is_refused() {
    let (_dir, path) = place();
    let _foreign = StdUnixListener::bind(&path).expect("binds");
    assert!(matches!(serve(&path, OWN), Err(UnixError::InUse(_))));

    let (_dir, path) = place();
    let _ours = serve(&path, OWN).expect("serves");
    assert!(matches!(serve(&path, OWN), Err(UnixError::InUse(_))));

    let (_dir, path) = place();
    let _datagrams = UnixDatagram::bind(&path).expect("binds");
    assert!(matches!(serve(&path, OWN), Err(UnixError::InUse(_))));
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let (dir, path) = place();
    fs::write(&path, "precious").expect("writes");
    assert!(matches!(serve(&path, OWN), Err(UnixError::Foreign(_))));
    assert_eq!(fs::read_to_string(&path).expect("is there"), "precious");

    let link = dir.path().join("link.sock");
    std::os::unix::fs::symlink(&path, &link).expect("links");
    assert!(matches!(serve(&link, OWN), Err(UnixError::Foreign(_))));
}

#[tokio::test]
async fn a_socket_that_took_this_ones_place_is_not_removed() {
    let (_dir, path) = place();
    let (_listener, file) = serve(&path, OWN).expect("serves");
    // Renaming keeps the first inode in use, so that its number is not given out again.
    fs::rename(&path, path.with_extension("old")).expect("moves");
    let _other = StdUnixListener::bind(&path).expect("binds");
    drop(file);
    assert!(path.exists());
}
