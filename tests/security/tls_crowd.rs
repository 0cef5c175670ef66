//! Connections that never begin to speak: any number of them is bounded, and keeps nobody out.
//!
//! STAGEPAGES_HALF_OPEN says how many (600); 10000 in a campaign.
use std::path::Path;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use stagepages_tests::{Api, Daemon, DaemonOptions, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

const PLACES: usize = 64;

fn number() -> usize {
    let wanted = std::env::var("STAGEPAGES_HALF_OPEN").ok();
    let number = wanted.map_or(600, |text| text.parse().expect("a number"));
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    number
}

fn start() -> Daemon {
    let config = format!("max_handshakes = {PLACES}\nhandshake_timeout = \"1h\"");
    Daemon::start(&DaemonOptions::new().config(&config))
}

/// Files that the daemon has open.
fn open_files(daemon: &Daemon) -> usize {
    let path = format!("/proc/{}/fd", daemon.daemon_pid());
    std::fs::read_dir(Path::new(&path)).unwrap().count()
}

/// What the daemon holds of the crowd is bounded, and said.
async fn is_bounded(daemon: &Daemon, idle: usize) {
    eventually("the crowd to be driven out", async || {
        (open_files(daemon) <= idle + PLACES + 16).then_some(())
    })
    .await;
    let log = daemon.log();
    assert!(
        log.contains("connections that have not begun are at their limit"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_over_tcp_keep_nobody_out() {
    let (number, daemon) = (number(), start());
    Api::tcp(&daemon).await.node_info().await;
    let idle = open_files(&daemon);
    let mut crowd = Vec::new();
    for nth in 0..number {
        let mut one = TcpStream::connect(daemon.tcp()).await.unwrap();
        // Silent; a record that is announced and does not come; half a record.
        let said: &[u8] = [&b""[..], &[22, 3, 1, 0x3f, 0xff], &[22, 3, 1, 0, 200, 1, 0]][nth % 3];
        one.write_all(said).await.ok();
        crowd.push(one);
        if nth % 100 == 99 {
            Api::tcp(&daemon).await.node_info().await;
        }
    }
    is_bounded(&daemon, idle).await;
    Api::tcp(&daemon).await.node_info().await;
    Api::unix(daemon.socket()).await.node_info().await;
    drop(crowd);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn half_said_prefaces_on_the_unix_socket_keep_nobody_out() {
    let (number, daemon) = (number(), start());
    let idle = open_files(&daemon);
    let mut crowd = Vec::new();
    for nth in 0..number {
        let mut one = UnixStream::connect(daemon.socket()).await.unwrap();
        one.write_all(&b"PRI * HTTP/2.0"[..nth % 15]).await.ok();
        crowd.push(one);
        if nth % 100 == 99 {
            Api::unix(daemon.socket()).await.node_info().await;
        }
    }
    is_bounded(&daemon, idle).await;
    Api::unix(daemon.socket()).await.node_info().await;
    Api::tcp(&daemon).await.node_info().await;
    drop(crowd);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_begin_in_time_is_closed() {
    let time = Duration::from_millis(50);
    let config = format!("handshake_timeout = \"{}ms\"", time.as_millis());
    let daemon = Daemon::start(&DaemonOptions::new().config(&config));
    let mut tcp = TcpStream::connect(daemon.tcp()).await.unwrap();
    let mut unix = UnixStream::connect(daemon.socket()).await.unwrap();
    // Both return only because the daemon closes them.
    tcp.read_to_end(&mut Vec::new()).await.ok();
    unix.read_to_end(&mut Vec::new()).await.ok();
    // It is said after that.
    eventually("the log to say why", async || {
        let log = daemon.log();
        log.contains("do not begin to speak in time").then_some(())
    })
    .await;
    daemon.stop();
}
