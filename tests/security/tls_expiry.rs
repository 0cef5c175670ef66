//! Certificates that expire while they are in use.
use std::time::{Duration, SystemTime};

use stagepages_proto::v1::GetNodeInfoRequest;
use stagepages_tests::{
    Api, Daemon, DaemonOptions, Leaf, eventually, refused, tls_channel, tls_config,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_next_call_of_an_expired_client_is_refused_and_its_connection_closed() {
    let daemon = Daemon::start(&DaemonOptions::new());
    let now = SystemTime::now();
    let (before, after) = (now - Duration::from_secs(60), now + Duration::from_secs(4));
    let leaf = Leaf::client(&["spiffe://test/x"]).valid(before, after);
    let (ca, client) = (daemon.pki().get("ca.crt"), daemon.pki().ca.issue(&leaf));
    let config = tls_config(&ca, Some(&client));
    let channel = tls_channel(daemon.tcp(), move || config.clone()).await;
    let node = Api::over(channel.unwrap()).node;
    let call = async || node.clone().get_node_info(GetNodeInfoRequest {}).await;
    call().await.expect("is valid still");
    let status = eventually("the certificate to expire", async || call().await.err()).await;
    assert!(SystemTime::now() >= after - Duration::from_secs(1));
    refused::<()>(Err(status), "UNAUTHENTICATED");
    // Its connection is gone, and no new one comes about.
    eventually("the handshake to be refused", async || {
        call().await.expect_err("has expired");
        let why = "the client's certificate has expired at";
        daemon.log().contains(why).then_some(())
    })
    .await;
    let log = daemon.log();
    let said = "certificate has expired since it connected peer=spiffe://test/x at ";
    assert!(log.contains(said), "{log}");
    Api::tcp(&daemon).await.node_info().await;
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemons_own_expiry_is_said_ahead_of_time() {
    let daemon = Daemon::start(&DaemonOptions::new());
    // Valid for an hour, as the harness makes them.
    let log = daemon.log();
    let line = log
        .lines()
        .find(|line| line.contains("the server's certificate expires"));
    let line = line.unwrap_or_else(|| panic!("nothing is said:\n{log}"));
    assert!(line.contains("WARN") && line.contains("hours=0"), "{line}");
    daemon.stop();
}
