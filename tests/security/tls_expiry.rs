//! Certificates that expire while they are in use.
use std::time::{Duration, SystemTime};

use stagepages_proto::v1::{
    GetNodeInfoRequest, Platform, StagePagesStreamRequest, WatchLaunchRequest,
};
use stagepages_tests::{
    Api, Contents, Daemon, DaemonOptions, Extent, Leaf, PAGE, eventually, page, refused, region,
    spec, tls_channel, tls_config,
};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

/// Over TCP, with a certificate that ends in some seconds; and when it does.
async fn short_lived(daemon: &Daemon, seconds: u64) -> (Api, SystemTime) {
    let now = SystemTime::now();
    let (before, after) = (
        now - Duration::from_secs(60),
        now + Duration::from_secs(seconds),
    );
    let leaf = Leaf::client(&["spiffe://test/x"]).valid(before, after);
    let (ca, client) = (daemon.pki().get("ca.crt"), daemon.pki().ca.issue(&leaf));
    let config = tls_config(&ca, Some(&client));
    let channel = tls_channel(daemon.tcp(), move || config.clone()).await;
    (Api::over(channel.unwrap()), after)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_call_of_an_expired_client_is_refused_and_its_connection_closed() {
    let daemon = Daemon::start(&DaemonOptions::new());
    let (api, after) = short_lived(&daemon, 4).await;
    let node = api.node;
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

/// Nobody sends anything: what ends them is the time alone.
#[tokio::test(flavor = "multi_thread")]
async fn open_streams_of_an_expired_client_end_by_themselves_and_others_go_on() {
    let daemon = Daemon::start(&DaemonOptions::new());
    let lasting = Api::tcp(&daemon).await;
    let (brief, after) = short_lived(&daemon, 8).await;
    let launch = lasting
        .create("vm", spec(Platform::Sim, [region(page(0), 4 * PAGE)]))
        .await
        .unwrap();
    let watch = async |api: &Api| {
        let request = WatchLaunchRequest {
            name: launch.name.clone(),
            uid: String::new(),
        };
        let watched = api.launches.clone().watch_launch(request).await;
        let mut watched = watched.unwrap().into_inner();
        watched.next().await.unwrap().unwrap();
        watched
    };
    let (mut ends, mut stays) = (watch(&brief).await, watch(&lasting).await);
    let (extents, requests) = tokio::sync::mpsc::channel(1);
    let extent = |nth: u64| StagePagesStreamRequest {
        request: Some(Extent::normal(page(nth), Contents::new(nth).pages(1)).request(&launch.name)),
    };
    extents.send(extent(0)).await.unwrap();
    let requests = ReceiverStream::new(requests);
    let staged = brief.launches.clone().stage_pages_stream(requests).await;
    let mut staged = staged.unwrap().into_inner();
    staged.next().await.unwrap().unwrap();

    // The page that was staged is told to both before the end.
    let mut told = ends.next().await.unwrap();
    while told.is_ok() {
        told = ends.next().await.unwrap();
    }
    assert!(SystemTime::now() >= after - Duration::from_secs(1));
    let refusal = refused(told, "UNAUTHENTICATED");
    assert!(refusal.message.contains("has expired"), "{refusal:?}");
    assert!(ends.next().await.is_none());
    refused(staged.next().await.unwrap(), "UNAUTHENTICATED");
    assert!(staged.next().await.is_none());
    drop(extents);

    lasting
        .stage(
            &launch.name,
            Extent::normal(page(1), Contents::new(1).pages(1)),
        )
        .await
        .unwrap();
    stays.next().await.unwrap().unwrap();
    assert_eq!(lasting.get(&launch.name).await.unwrap().installed_pages, 2);
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
