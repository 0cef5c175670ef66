//! The server as its clients see it: over a real Unix socket, with an HTTP/2 client that shows headers and trailers as they are.

mod client;
mod pausing;
mod probe;

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tonic::Code;

use self::{
    client::{Answer, Client},
    probe::Probe,
};
use super::*;
use crate::{
    audit::Audit,
    auth::{Gatekeeper, PolicyFile},
};

/// Whoever runs this test, and root.
const OWN: Access = Access {
    mode: 0o600,
    group: None,
};

/// Lets whoever runs this test, and root, do everything.
fn keeper() -> Gatekeeper {
    PolicyFile::open(None).expect("needs no file").gatekeeper()
}

/// A server that runs until the test drops it.
struct Running {
    _dir: tempfile::TempDir,
    address: Listen,
    probe: Probe,
    drain: CancellationToken,
    served: tokio::task::JoinHandle<Result<(), TooSmall>>,
}

impl Running {
    fn start(limits: Limits) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let address = Listen::Unix(dir.path().join("api.sock"));
        let server = Server::bind(std::slice::from_ref(&address), OWN, None).expect("binds");
        let probe = Probe::default();
        let drain = CancellationToken::new();
        let serving = server.serve(
            probe.routes(),
            keeper(),
            limits,
            Audit::off(),
            Arc::default(),
            drain.clone(),
        );
        Self {
            _dir: dir,
            address,
            probe,
            drain,
            served: tokio::spawn(serving),
        }
    }

    async fn client(&self) -> Client {
        Client::connect(&self.address).await.expect("connects")
    }
}

const HEALTH: &str = "/grpc.health.v1.Health/Check";
/// An empty message with its prefix.
const EMPTY: &[u8] = &[0, 0, 0, 0, 0];

fn assert_reason(answer: &Answer, code: Code, reason: &str) {
    let status = answer.status().expect("has a status");
    assert_eq!(status.code(), code, "{status:?}");
    assert!(
        status.message().starts_with(&format!("{reason}: ")),
        "{status:?}"
    );
    assert_eq!(answer.reason().as_deref(), Some(reason), "{status:?}");
}

#[tokio::test]
async fn health_is_served_and_the_peer_is_known() {
    let server = Running::start(Limits::default());
    let client = server.client().await;
    let answer = client.call(HEALTH, EMPTY).await;
    assert_eq!(answer.status().expect("has one").code(), Code::Ok);
    client.call("/test.Probe/Echo", EMPTY).await;
    let Some(PeerInfo::Unix { uid, pid, .. }) = server.probe.peer() else {
        panic!("no peer");
    };
    assert_eq!(uid, nix::unistd::geteuid().as_raw());
    assert_eq!(pid, Some(std::process::id().try_into().expect("fits")));
}

#[tokio::test]
async fn tonic_clients_understand_it() {
    let server = Running::start(Limits::default());
    let Listen::Unix(path) = &server.address else {
        panic!("not a socket");
    };
    let target = format!("unix://{}", path.display());
    let channel = tonic::transport::Endpoint::from_shared(target).expect("is a target");
    let channel = channel.connect().await.expect("connects");
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    let request = |service: &str| tonic_health::pb::HealthCheckRequest {
        service: service.to_owned(),
    };
    health.check(request("")).await.expect("is served");
    // A service's own answer passes as it is.
    let unknown = health.check(request("x")).await.expect_err("is unknown");
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn tcp_is_not_served_without_tls() {
    let address: Listen = "tcp:127.0.0.1:0".parse().expect("is valid");
    let error = Server::bind(&[address], OWN, None).expect_err("is refused");
    assert!(error.to_string().contains("tls_client_ca"), "{error}");
}

#[tokio::test]
async fn the_frameworks_errors_have_reasons() {
    let server = Running::start(Limits {
        max_message_bytes: 8,
        ..Limits::default()
    });
    let client = server.client().await;
    let unsupported = (Code::Unimplemented, "UNSUPPORTED_OPERATION");
    let malformed = (Code::InvalidArgument, "MALFORMED_REQUEST");
    let too_large = (Code::InvalidArgument, "MESSAGE_TOO_LARGE");
    let two = [EMPTY, EMPTY].concat();
    let cases: [(&str, &[u8], (Code, &str)); 12] = [
        ("/no.Service/Method", EMPTY, unsupported),
        ("/grpc.health.v1.Health/Chek", EMPTY, unsupported),
        ("/", EMPTY, unsupported),
        (HEALTH, &[], malformed),
        (HEALTH, &two, malformed),
        (HEALTH, &[0, 0, 0], malformed),
        (HEALTH, &[0, 0, 0, 0, 2, 1], malformed),
        (HEALTH, &[1, 0, 0, 0, 0], malformed),
        (HEALTH, &[9, 0, 0, 0, 0], malformed),
        // Not protobuf; then a string that is not UTF-8.
        (HEALTH, &[0, 0, 0, 0, 2, 0xff, 0xff], malformed),
        (HEALTH, &[0, 0, 0, 0, 3, 0x0a, 1, 0xff], malformed),
        (
            HEALTH,
            &[0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            too_large,
        ),
    ];
    for (path, body, (code, reason)) in cases {
        let answer = client.call(path, body).await;
        assert_reason(&answer, code, reason);
    }
    let answer = client.call(HEALTH, EMPTY).await;
    assert_eq!(
        answer.status().expect("has one").code(),
        Code::Ok,
        "others are served"
    );
}

#[tokio::test]
async fn a_limit_of_tonics_own_has_the_same_reason() {
    let server = Running::start(Limits::default());
    // The probe's health service takes no more than 64 bytes.
    let mut body = vec![0, 0, 0, 0, 65];
    body.extend([0; 65]);
    let answer = server.client().await.call(HEALTH, &body).await;
    assert_reason(&answer, Code::InvalidArgument, "MESSAGE_TOO_LARGE");
    assert!(
        answer
            .status()
            .expect("has one")
            .message()
            .contains("64 bytes")
    );
}

#[tokio::test]
async fn an_unsupported_compression_names_the_way_out() {
    let server = Running::start(Limits::default());
    let client = server.client().await;
    let answer = client
        .call_with(HEALTH, EMPTY, &[("grpc-encoding", "gzip")])
        .await;
    assert_reason(&answer, Code::Unimplemented, "UNSUPPORTED_OPERATION");
    assert!(answer.head.headers.contains_key("grpc-accept-encoding"));
}

#[tokio::test]
async fn headers_beyond_the_limit_end_their_call_only() {
    let server = Running::start(Limits::default());
    let client = server.client().await;
    let long = "x".repeat(20 << 10);
    let answer = client.call_with(HEALTH, EMPTY, &[("x-long", &long)]).await;
    assert_eq!(answer.head.status.as_u16(), 431);
    let answer = client.call(HEALTH, EMPTY).await;
    assert_eq!(answer.status().expect("has one").code(), Code::Ok);
}

#[tokio::test]
async fn what_is_not_grpc_gets_plain_http() {
    let server = Running::start(Limits::default());
    let client = server.client().await;
    for (method, kind, status) in [
        ("POST", "text/html", 415),
        ("POST", "application/grpc-web", 415),
        ("GET", "application/grpc", 405),
    ] {
        let answer = client
            .request(method, HEALTH, EMPTY, &[("content-type", kind)])
            .await;
        assert_eq!(answer.head.status.as_u16(), status);
        assert!(answer.status().is_none());
    }
}

#[tokio::test]
async fn a_panic_ends_its_call_and_no_other() {
    let server = Running::start(Limits::default());
    let client = server.client().await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.call("/test.Probe/Wait", EMPTY).await }
    });
    server.probe.entered().await;
    for path in ["/test.Probe/Panic", "/test.Probe/PanicLater"] {
        assert_reason(
            &client.call(path, EMPTY).await,
            Code::Internal,
            "INTERNAL_ERROR",
        );
    }
    server.probe.release();
    assert_eq!(
        waiting
            .await
            .expect("ends")
            .status()
            .expect("has one")
            .code(),
        Code::Ok
    );
}

#[tokio::test]
async fn a_deadline_ends_the_wait_and_drops_the_handler() {
    let server = Running::start(Limits::default());
    let client = server.client().await;
    let timeout = [("grpc-timeout", "100m")];
    for path in ["/test.Probe/Wait", "/test.Probe/Stream"] {
        let answer = client.call_with(path, EMPTY, &timeout).await;
        assert_reason(&answer, Code::DeadlineExceeded, "DEADLINE_EXPIRED");
        assert!(
            answer
                .status()
                .expect("has one")
                .message()
                .contains("completed")
        );
        server.probe.dropped().await;
    }
    let answer = client
        .call_with("/test.Probe/Panic", EMPTY, &[("grpc-timeout", "0n")])
        .await;
    assert_reason(&answer, Code::DeadlineExceeded, "DEADLINE_EXPIRED");
    let answer = client
        .call_with(HEALTH, EMPTY, &[("grpc-timeout", "soon")])
        .await;
    assert_reason(&answer, Code::InvalidArgument, "MALFORMED_REQUEST");
    let answer = client
        .call_with(HEALTH, EMPTY, &[("grpc-timeout", "1H")])
        .await;
    assert_eq!(answer.status().expect("has one").code(), Code::Ok);
}

#[tokio::test]
async fn draining_finishes_the_call_in_flight_and_takes_no_other() {
    let server = Running::start(Limits::default());
    let client = server.client().await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.call("/test.Probe/Wait", EMPTY).await }
    });
    server.probe.entered().await;
    server.drain.cancel();
    // Calls that crossed the GOAWAY are still answered; those after it are not.
    while client.try_call(HEALTH, EMPTY).await.is_ok() {}
    assert!(Client::connect(&server.address).await.is_err());
    assert!(!server.served.is_finished());
    server.probe.release();
    assert_eq!(
        waiting
            .await
            .expect("ends")
            .status()
            .expect("has one")
            .code(),
        Code::Ok
    );
    let served = server.served.await.expect("ends without a panic");
    served.expect("has its budget");
    let Listen::Unix(path) = &server.address else {
        panic!("not a socket");
    };
    assert!(!path.exists());
}

#[tokio::test]
async fn dropping_the_server_ends_calls_that_do_not() {
    let server = Running::start(Limits::default());
    let client = server.client().await;
    let waiting = tokio::spawn(async move { client.try_call("/test.Probe/Wait", EMPTY).await });
    server.probe.entered().await;
    server.served.abort();
    server.probe.dropped().await;
    assert!(waiting.await.expect("ends").is_err());
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_places_come_back() {
    let server = Running::start(Limits {
        max_connections: 1,
        ..Limits::default()
    });
    let first = server.client().await;
    first.call(HEALTH, EMPTY).await;
    let second = Client::connect(&server.address).await;
    let refused = match second {
        Err(_) => true,
        Ok(second) => second.try_call(HEALTH, EMPTY).await.is_err(),
    };
    assert!(refused);
    assert_eq!(
        first
            .call(HEALTH, EMPTY)
            .await
            .status()
            .expect("has one")
            .code(),
        Code::Ok
    );
    first.close().await;
    // The server learns of the close when it reads; until then a new connection is still one too many.
    loop {
        if let Ok(next) = Client::connect(&server.address).await
            && next.try_call(HEALTH, EMPTY).await.is_ok()
        {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let limits = Limits {
        handshake_timeout: Duration::from_millis(10),
        ..Limits::default()
    };
    let server = Running::start(limits);
    let mut silent = client::open(&server.address).await.expect("connects");
    let mut buf = Vec::new();
    // Returns only because the server closes the connection.
    let read = tokio::io::AsyncReadExt::read_to_end(&mut silent, &mut buf).await;
    drop(read);
}
