//! Health for probes without TLS: what kubelet's client asks and what it is told, also while the daemon drains.

use std::net::SocketAddr;

use stagepages_proto::v1::{
    QueryWriteRequest, WriteImageRequest, image_service_client::ImageServiceClient,
    write_image_request::Content,
};
use stagepages_tests::{Api, Daemon, DaemonOptions, eventually, refused};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Connections at one time.
const CONNECTIONS: usize = 32;

fn start() -> Daemon {
    let options = DaemonOptions::new().config("health_listen = \"tcp:127.0.0.1:0\"");
    Daemon::start(&options)
}

async fn plain(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect().await.unwrap()
}

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

async fn check(channel: &Channel, service: &str) -> Result<ServingStatus, Status> {
    let mut client = HealthClient::new(channel.clone());
    let answer = client.check(of(service)).await?;
    Ok(answer.get_ref().status())
}

#[tokio::test]
async fn a_probe_is_told_what_the_api_tells() {
    let daemon = start();
    let api = Api::unix(daemon.socket()).await;
    let channel = plain(daemon.health()).await;
    for service in [
        "",
        "stagepages.v1.LaunchService",
        "stagepages.v1.NodeService",
    ] {
        assert_eq!(
            check(&channel, service).await.unwrap(),
            ServingStatus::Serving
        );
        let own = check(&api.channel, service).await.unwrap();
        assert_eq!(own, ServingStatus::Serving);
    }
    let unknown = check(&channel, "nobody.Service").await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    daemon.stop();
}

#[tokio::test]
async fn nothing_else_is_answered_there() {
    let daemon = start();
    let api = Api::over(plain(daemon.health()).await);
    let refusal = refused(api.get("launches/vm").await, "UNSUPPORTED_OPERATION");
    for part in ["grpc.health.v1.Health", "health_listen"] {
        assert!(refusal.message.contains(part), "{refusal:?}");
    }
    let mut images = ImageServiceClient::new(api.channel.clone());
    let written = images.write_image(tokio_stream::iter(Vec::new())).await;
    refused(written, "UNSUPPORTED_OPERATION");
    let mut reflection =
        tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient::new(
            api.channel.clone(),
        );
    let reflected = reflection
        .server_reflection_info(tokio_stream::iter(Vec::new()))
        .await;
    assert_eq!(reflected.unwrap_err().code(), Code::Unimplemented);
    // The same connection still answers what it is for.
    check(&api.channel, "").await.unwrap();
    daemon.stop();
}

#[tokio::test]
async fn a_daemon_that_drains_says_so_until_it_ends() {
    let daemon = start();
    let channel = plain(daemon.health()).await;
    let mut watch = HealthClient::new(channel.clone());
    let watched = watch.watch(of("")).await.unwrap();
    let mut watched = watched.into_inner();
    let first = watched.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);

    // A call that goes on until the test lets it end.
    let api = Api::unix(daemon.socket()).await;
    let (hold, requests) = tokio::sync::mpsc::channel(1);
    let digits = "0".repeat(64);
    let request = WriteImageRequest {
        name: format!("images/sha256:{digits}"),
        size: 4096,
        upload_id: "held".to_owned(),
        content: Some(Content::Zeros(1)),
        ..WriteImageRequest::default()
    };
    hold.send(request).await.unwrap();
    let mut images = ImageServiceClient::new(api.channel.clone());
    let call = tokio::spawn(async move { images.write_image(ReceiverStream::new(requests)).await });
    let asked = ImageServiceClient::new(api.channel.clone());
    eventually("the begun write", async || {
        let query = QueryWriteRequest {
            name: format!("images/sha256:{digits}"),
            upload_id: "held".to_owned(),
        };
        let answer = asked.clone().query_write(query).await.ok()?;
        (answer.into_inner().committed_offset == 1).then_some(())
    })
    .await;

    daemon.terminate();
    let next = watched.message().await.unwrap().unwrap();
    assert_eq!(next.status(), ServingStatus::NotServing);
    // A new connection too: kubelet makes one for each probe.
    let late = plain(daemon.health()).await;
    assert_eq!(check(&late, "").await.unwrap(), ServingStatus::NotServing);
    drop(hold);
    call.await.unwrap().unwrap_err();
    assert!(daemon.wait().success());
}

#[tokio::test]
async fn a_crowd_of_probes_is_bounded_and_in_nobodys_way() {
    let daemon = start();
    let mut crowd = Vec::new();
    for _ in 0..CONNECTIONS {
        let channel = plain(daemon.health()).await;
        check(&channel, "").await.unwrap();
        crowd.push(channel);
    }
    let endpoint = Endpoint::from_shared(format!("http://{}", daemon.health())).unwrap();
    if let Ok(late) = endpoint.connect().await {
        check(&late, "").await.unwrap_err();
    }
    let api = Api::unix(daemon.socket()).await;
    refused(api.get("launches/none").await, "LAUNCH_NOT_FOUND");
    check(&crowd[0], "").await.unwrap();
    daemon.stop();
}

#[test]
fn an_address_that_is_none_is_refused_at_the_start() {
    let options = DaemonOptions::new().without_tcp();
    for (address, told) in [
        ("unix:/tmp/health.sock", "tcp:IP:PORT"),
        ("tcp:192.0.2.1:1", "--health-listen"),
    ] {
        let options = options
            .clone()
            .config(&format!("health_listen = {address:?}"));
        let failed = Daemon::try_start(&options).unwrap_err();
        assert!(failed.log.contains(told), "{told}: {}", failed.log);
    }
}
