//! Where a daemon listens, who gets in, and what it refuses to start with.
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;

use stagepages_tests::{Api, Daemon, DaemonOptions};

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_for_its_owner_alone() {
    let daemon = Daemon::start(&DaemonOptions::new());
    let metadata = std::fs::metadata(daemon.socket()).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    assert!(daemon.tcp().ip().is_loopback());
    for api in [Api::unix(daemon.socket()).await, Api::tcp(&daemon).await] {
        api.node_info().await;
    }
    let socket = daemon.socket().to_owned();
    daemon.stop();
    assert!(!socket.exists(), "a clean exit leaves no socket behind");
}

#[test]
fn tcp_is_refused_without_tls_wherever_it_is() {
    for place in ["tcp:127.0.0.1:0", "tcp:0.0.0.0:0", "tcp:[::]:0"] {
        let options = DaemonOptions::new().without_tcp().listen(place);
        let failed = Daemon::try_start(&options).expect_err(place);
        assert!(!failed.status.success(), "{place}: {failed:?}");
        for word in [place, "TLS", "tls_cert", "tls_key", "tls_client_ca"] {
            assert!(failed.log.contains(word), "{word}: {failed:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_address_may_be_served_with_tls() {
    let daemon = Daemon::start(&DaemonOptions::new().listen("tcp:0.0.0.0:0"));
    Api::tcp(&daemon).await.node_info().await;
    daemon.stop();
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_starts() {
    let bad = [
        (
            DaemonOptions::new().listen("carrier-pigeon:coop"),
            "carrier-pigeon:coop",
        ),
        (DaemonOptions::new().listen("tcp:127.0.0.1"), "127.0.0.1"),
        (
            DaemonOptions::new().config("max_launchez = 1"),
            "max_launchez",
        ),
        (
            DaemonOptions::new().config("max_launches = \"many\""),
            "max_launches",
        ),
        (
            DaemonOptions::new().config("chunk_pages = 0"),
            "chunk_pages",
        ),
        (
            DaemonOptions::new().config("this is no TOML"),
            "config.toml",
        ),
        (
            DaemonOptions::new().environment("STAGEPAGES_LOG_FORMAT", "morse"),
            "morse",
        ),
    ];
    for (options, word) in bad {
        let failed = Daemon::try_start(&options).expect_err(word);
        assert!(!failed.status.success(), "{failed:?}");
        assert!(
            failed.log.contains(word),
            "does not name {word}: {failed:?}"
        );
        assert!(
            failed.log.lines().count() < 20,
            "a stream of words for one mistake: {failed:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_daemons_socket_is_replaced_and_a_living_ones_is_not() {
    let place = tempfile::Builder::new()
        .prefix("sp")
        .tempdir_in("/tmp")
        .unwrap();
    let path = place.path().join("s");
    let listen = format!("unix:{}", path.display());

    // Bound and closed: the file stays, and nobody is behind it.
    drop(UnixListener::bind(&path).unwrap());
    let daemon = Daemon::start(&DaemonOptions::new().listen(&listen));
    Api::unix(&path).await.node_info().await;

    let failed = Daemon::try_start(&DaemonOptions::new().listen(&listen)).unwrap_err();
    assert!(!failed.status.success(), "{failed:?}");
    assert!(
        failed.log.contains(path.to_str().unwrap()),
        "does not name the socket: {failed:?}"
    );
    // The one that was there first does not even notice.
    Api::unix(&path).await.node_info().await;
    daemon.stop();
    assert!(!path.exists(), "a clean exit leaves no socket behind");

    std::fs::write(&path, "somebody's file").unwrap();
    let failed = Daemon::try_start(&DaemonOptions::new().listen(&listen)).unwrap_err();
    assert!(!failed.status.success(), "{failed:?}");
    assert_eq!(std::fs::read(&path).unwrap(), b"somebody's file");
}
