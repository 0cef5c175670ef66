//! Clients that have no business on a TCP port: each is refused at its handshake, counted and logged, and others are served.
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use rustls::ClientConfig;
use stagepages_proto::v1::GetNodeInfoRequest;
use stagepages_tests::{
    Api, Authority, Daemon, DaemonOptions, Issued, Leaf, eventually, tls_channel, tls_config,
};
use tonic::transport::Endpoint;

const ID: &str = "spiffe://test/somebody";

/// Whether a call is answered over connections that are made with `config`.
async fn is_served(daemon: &Daemon, config: ClientConfig) -> bool {
    let channel = tls_channel(daemon.tcp(), move || config.clone()).await;
    let Ok(channel) = channel else { return false };
    let mut node = Api::over(channel).node;
    node.get_node_info(GetNodeInfoRequest {}).await.is_ok()
}

/// The daemon logs `why`, with a count, and serves others.
async fn is_logged(daemon: &Daemon, why: &str) {
    let line = eventually(why, async || {
        let log = daemon.log();
        log.lines()
            .find(|line| line.contains(why))
            .map(str::to_owned)
    })
    .await;
    assert!(
        line.contains("WARN") && line.contains("refused=1"),
        "{line}"
    );
    Api::tcp(daemon).await.node_info().await;
}

/// A client with `issued` is refused, with `why` in the log; it would be served but for `issued`.
async fn refused(make: impl Fn(&Daemon) -> Option<Issued>, why: &str) {
    let daemon = Daemon::start(&DaemonOptions::new());
    let ca = daemon.pki().get("ca.crt");
    let good = daemon.pki().ca.issue(&Leaf::client(&[ID]));
    assert!(is_served(&daemon, tls_config(&ca, Some(&good))).await);
    let bad = make(&daemon);
    assert!(
        !is_served(&daemon, tls_config(&ca, bad.as_ref())).await,
        "{why}"
    );
    is_logged(&daemon, why).await;
    daemon.stop();
}

fn signed(leaf: Leaf) -> impl Fn(&Daemon) -> Option<Issued> {
    move |daemon| Some(daemon.pki().ca.issue(&leaf))
}

fn hours(from: i64, to: i64) -> Leaf {
    let at = |hours: i64| {
        let time = Duration::from_secs(3600 * hours.unsigned_abs());
        if hours < 0 {
            SystemTime::now() - time
        } else {
            SystemTime::now() + time
        }
    };
    Leaf::client(&[ID]).valid(at(from), at(to))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_nobody_gets_in() {
    refused(|_| None, "the client shows no certificate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cas_certificate_is_refused() {
    let other = Authority::new("test CA").issue(&Leaf::client(&[ID]));
    let why = "is signed by none of the CAs in tls_client_ca";
    refused(move |_| Some(other.clone()), why).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_refused_outside_of_their_time() {
    refused(
        signed(hours(-2, -1)),
        "the client's certificate has expired at ",
    )
    .await;
    refused(
        signed(hours(1, 2)),
        "the client's certificate is valid only from ",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_has_exactly_one_identity_or_none() {
    refused(
        signed(Leaf::client(&[]).dns("node")),
        "the certificate has no URI",
    )
    .await;
    let two = Leaf::client(&[ID, "spiffe://test/other"]);
    refused(signed(two), "the certificate has 2 URIs").await;
    let domain = Leaf::client(&["spiffe://test"]);
    refused(signed(domain), "it names no path").await;
    let other = Leaf::client(&["https://test/x"]);
    refused(signed(other), "its scheme is not spiffe").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_certificate_is_no_clients() {
    refused(signed(Leaf::server()), "is not for clients").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_identity_may_be_a_dns_name_instead() {
    let daemon = Daemon::start(&DaemonOptions::new().config("tls_identity = \"dns\""));
    let ca = daemon.pki().get("ca.crt");
    let named = daemon.pki().ca.issue(&Leaf::client(&[]).dns("node"));
    assert!(is_served(&daemon, tls_config(&ca, Some(&named))).await);
    let client = daemon.pki().client();
    assert!(!is_served(&daemon, tls_config(&ca, Some(&client))).await);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_http2_by_alpn_is_refused() {
    for protocols in [vec![], vec![b"http/1.1".to_vec()]] {
        let daemon = Daemon::start(&DaemonOptions::new());
        let mut config = tls_config(&daemon.pki().get("ca.crt"), Some(&daemon.pki().client()));
        config.alpn_protocols = protocols;
        assert!(!is_served(&daemon, config).await);
        is_logged(&daemon, "does not offer HTTP/2").await;
        daemon.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plaintext_is_refused() {
    let daemon = Daemon::start(&DaemonOptions::new());
    let plain = Endpoint::from_shared(format!("http://{}", daemon.tcp())).unwrap();
    if let Ok(channel) = plain.connect().await {
        let mut node = Api::over(channel).node;
        node.get_node_info(GetNodeInfoRequest {}).await.unwrap_err();
    }
    is_logged(&daemon, "what it sends is not TLS").await;
    daemon.stop();
}

/// OpenSSL as the client: this process' own rustls is built without TLS 1.2.
fn openssl(daemon: &Daemon, version: &str) -> std::process::Output {
    let file = |name| daemon.pki().path(name).display().to_string();
    Command::new("openssl")
        .args(["s_client", version, "-alpn", "h2", "-verify_return_error"])
        .args(["-connect", &daemon.tcp().to_string()])
        .args([
            "-CAfile",
            &file("ca.crt"),
            "-cert",
            &file("client.crt"),
            "-key",
            &file("client.key"),
        ])
        .stdin(Stdio::null())
        .output()
        .expect("openssl is installed (.ci/run does it)")
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_1_2_is_refused_and_1_3_is_not() {
    let daemon = Daemon::start(&DaemonOptions::new());
    let spoken = openssl(&daemon, "-tls1_3");
    let text = String::from_utf8_lossy(&spoken.stdout).into_owned();
    assert!(
        text.contains("TLSv1.3") && text.contains("ALPN protocol: h2"),
        "{text}"
    );
    assert!(
        !text.contains("Post-Handshake New Session Ticket"),
        "{text}"
    );
    let refused = openssl(&daemon, "-tls1_2");
    assert!(!refused.status.success(), "{refused:?}");
    is_logged(&daemon, "does not speak TLS 1.3").await;
    daemon.stop();
}
