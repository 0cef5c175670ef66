//! Over TCP: by mutual TLS, or not at all.

use stagepages_tests::{Authority, Daemon, DaemonOptions, Issued, Leaf, tls_config, tls_connect};
use tokio::net::TcpStream;

use crate::site::{Page, get, talk};

fn start() -> Daemon {
    Daemon::start(&DaemonOptions::new().flag("--status-listen=tcp:127.0.0.1:0"))
}

/// What a browser gets that shows this certificate; nothing if it is refused at the handshake.
async fn browse(daemon: &Daemon, client: Option<&Issued>, protocols: &[&[u8]]) -> Option<Page> {
    let mut config = tls_config(&daemon.pki().get("ca.crt"), client);
    config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
    let stream = tls_connect(daemon.status_tcp(), config).await.ok()?;
    talk(stream, &get("/")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_who_one_is() {
    let daemon = start();
    let known = daemon.pki().client();
    for protocols in [&[&b"h2"[..], b"http/1.1"][..], &[b"http/1.1"], &[]] {
        let page = browse(&daemon, Some(&known), protocols).await.unwrap().ok();
        assert!(
            page.says("as spiffe://test/client of tenant local"),
            "{page:?}"
        );
    }
    let issue = |leaf: &Leaf| daemon.pki().ca.issue(leaf);
    let stranger = issue(&Leaf::client(&["spiffe://elsewhere/client"]));
    let page = browse(&daemon, Some(&stranger), &[b"http/1.1"])
        .await
        .unwrap();
    assert_eq!(page.status, 403);
    assert!(page.says("spiffe://elsewhere/client is nobody that the daemon's policy knows"));
    let foreign = Authority::new("another CA").issue(&Leaf::client(&["spiffe://test/client"]));
    let nameless = issue(&Leaf::client(&[]));
    for client in [None, Some(&foreign), Some(&nameless)] {
        assert!(
            browse(&daemon, client, &[b"http/1.1"]).await.is_none(),
            "{client:?}"
        );
    }
    // HTTP/2 alone is not spoken, and nothing without TLS.
    assert!(browse(&daemon, Some(&known), &[b"h2"]).await.is_none());
    let plain = TcpStream::connect(daemon.status_tcp()).await.unwrap();
    let mut bytes = Vec::new();
    {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut plain = plain;
        plain.write_all(get("/").as_bytes()).await.unwrap();
        plain.read_to_end(&mut bytes).await.ok();
    }
    assert!(!bytes.starts_with(b"HTTP"), "{bytes:?}");
    daemon.stop();
}

#[test]
fn without_the_files_of_tls_no_daemon_serves_it_on_tcp() {
    let options = DaemonOptions::new()
        .without_tcp()
        .flag("--status-listen=tcp:127.0.0.1:0");
    let failed = Daemon::try_start(&options).unwrap_err();
    assert!(
        failed
            .log
            .contains("status_listen tcp:127.0.0.1:0: TCP is served with mutual TLS only"),
        "{}",
        failed.log
    );
}
