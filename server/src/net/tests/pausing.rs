//! Peers that do not take what they are answered: most are let go, a console's are waited for.

use std::time::Duration;

use http_body_util::BodyExt as _;

use super::{
    probe::FLOOD_BYTES,
    {Client, EMPTY, Limits, Running},
};
use crate::net::limits::PAUSE_BYTES;

const CONSOLE: &str = "/stagepages.v1.LaunchService/AttachConsole";
/// A window that the first part of an answer does not fit into.
const WINDOW: u32 = 16;

#[tokio::test]
async fn a_console_is_waited_for_where_another_call_ends() {
    let server = Running::start(Limits {
        stall_timeout: Duration::from_millis(50),
        ..Limits::default()
    });
    let client = Client::connect_with(&server.address, WINDOW)
        .await
        .expect("connects");
    let console = client.begin(CONSOLE, EMPTY).await;
    server.probe.entered().await;
    // It is stuck later than the console, and ends by the clock that would have ended that before.
    let other = client.begin("/test.Probe/Flood", EMPTY).await;
    server.probe.entered().await;
    server.probe.dropped().await;
    other.into_body().collect().await.map(drop).unwrap_err();
    let answer = console.into_body().collect().await.expect("is all there");
    assert_eq!(answer.trailers().expect("has some")["grpc-status"], "0");
    assert_eq!(answer.to_bytes().len(), FLOOD_BYTES);
}

#[tokio::test]
async fn a_deadline_ends_a_console_that_is_not_read() {
    let server = Running::start(Limits::default());
    let client = Client::connect_with(&server.address, WINDOW)
        .await
        .expect("connects");
    let headers = [
        ("content-type", "application/grpc"),
        ("grpc-timeout", "50m"),
    ];
    let console = client.begin_with(CONSOLE, EMPTY, &headers).await;
    server.probe.dropped().await;
    console.into_body().collect().await.map(drop).unwrap_err();
}

#[tokio::test]
async fn consoles_that_nobody_reads_hold_no_more_than_their_budget() {
    let server = Running::start(Limits::default());
    // The part of the budget for messages of connections that have delivered none, see `budget`.
    let most = Limits::default().receive_budget_bytes / u64::from(PAUSE_BYTES);
    let client = Client::connect_with(&server.address, WINDOW)
        .await
        .expect("connects");
    let mut clients = vec![client];
    let mut open = Vec::new();
    let refused = loop {
        if open.len() % 100 == 99 {
            let next = Client::connect_with(&server.address, WINDOW).await;
            clients.push(next.expect("connects"));
        }
        let client = clients.last().expect("is one");
        let console = client.begin(CONSOLE, EMPTY).await;
        if console.headers().contains_key("grpc-status") {
            break console;
        }
        open.push(console);
        assert!((open.len() as u64) < most, "nothing holds them back");
    };
    assert_eq!(refused.headers()["grpc-status"], "8");
    // Others are served all the same, and one that is read makes room for the next.
    let client = server.client().await;
    client.call("/test.Probe/Echo", EMPTY).await;
    let read = open.pop().expect("is one").into_body().collect().await;
    read.expect("is all there");
    server.probe.dropped().await;
    let console = clients[0].begin(CONSOLE, EMPTY).await;
    assert!(!console.headers().contains_key("grpc-status"));
}
