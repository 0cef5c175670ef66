//! Socket activation: a service manager's sockets are served, and nobody who connects is refused, whatever dies or is upgraded meanwhile.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use stagepages_proto::v1::Platform;
use stagepages_tests::{Api, Daemon, DaemonOptions, eventually};
use tempfile::TempDir;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::place::on;

/// Deaths of daemons in a row: fewer than a supervisor gives up at.
const DEATHS: usize = 4;

/// Where the sockets are that a service manager would make.
struct Manager(TempDir);

impl Manager {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("sp").tempdir_in("/tmp");
        Self(dir.unwrap())
    }

    fn socket(&self) -> PathBuf {
        self.0.path().join("activated.sock")
    }

    /// The sockets in words, `@` standing for [`Self::socket`].
    fn options(&self, sockets: &str) -> DaemonOptions {
        let sockets = sockets.replace('@', self.socket().to_str().unwrap());
        let program = Path::new(env!("CARGO_BIN_EXE_activating"));
        DaemonOptions::new().started_by(program, &sockets)
    }

    fn start(&self) -> Daemon {
        let options = self.options("api=unix:@,health=tcp:127.0.0.1:0");
        Daemon::start(&options.without_tcp())
    }
}

/// Connects as soon as it is called, and asks something: who is refused is a failure. A daemon that retires may have its peers connect once more (GOAWAY).
async fn asks(socket: &Path) {
    drop(UnixStream::connect(socket).unwrap());
    let info = Api::unix(socket).await.node_info().await;
    assert!(!info.platforms.is_empty());
}

/// Kills the daemon, and waits until it accepts nothing any more: what a dying one has accepted dies with it.
async fn dies(daemon: &Daemon) {
    let killed = daemon.kill_daemon();
    eventually("its end", async || {
        let words = fs::read(format!("/proc/{killed}/cmdline"));
        words.unwrap_or_default().is_empty().then_some(())
    })
    .await;
}

async fn is_serving(daemon: &Daemon) {
    let endpoint = Endpoint::from_shared(format!("http://{}", daemon.health())).unwrap();
    let mut client = HealthClient::new(endpoint.connect().await.unwrap());
    client.check(HealthCheckRequest::default()).await.unwrap();
}

#[tokio::test]
async fn what_a_service_manager_made_is_served_and_stays_its_own() {
    let manager = Manager::new();
    let daemon = manager.start();
    assert_eq!(daemon.socket(), manager.socket());
    let configured = daemon.dir().join("api.sock");
    assert!(!configured.exists(), "it takes the place of that one");
    asks(&manager.socket()).await;
    is_serving(&daemon).await;
    daemon.stop();
    assert!(manager.socket().exists(), "whoever made it removes it");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_refused_while_a_daemon_is_dead() {
    let manager = Manager::new();
    let mut daemon = manager.start();
    let api = Api::unix(&manager.socket()).await;
    let launch = api.create("vm", on(Platform::Sim)).await.unwrap();
    let health = daemon.health();
    for _ in 0..DEATHS {
        dies(&daemon).await;
        // Nobody accepts now. Whoever comes waits for the next daemon.
        asks(&manager.socket()).await;
        tokio::task::block_in_place(|| daemon.restarted());
        assert_eq!(daemon.health(), health, "the same socket");
        is_serving(&daemon).await;
    }
    let api = Api::unix(&manager.socket()).await;
    let found = eventually("the host's answer", async || {
        api.get("launches/vm").await.ok()
    })
    .await;
    assert_eq!(found.uid, launch.uid);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_refused_during_an_upgrade() {
    let manager = Manager::new();
    let mut daemon = manager.start();
    let (supervisor, health) = (daemon.pid(), daemon.health());
    for _ in 0..2 {
        kill(supervisor, Signal::SIGUSR2).unwrap();
        let mut ready = false;
        while !ready {
            asks(&manager.socket()).await;
            ready = daemon.said_ready();
        }
        assert_eq!(daemon.pid(), supervisor, "the same process");
        assert_eq!(daemon.health(), health, "the same socket");
        is_serving(&daemon).await;
    }
    // And the next daemon of the supervisor that was upgraded has them too.
    dies(&daemon).await;
    asks(&manager.socket()).await;
    tokio::task::block_in_place(|| daemon.restarted());
    daemon.stop();
}

#[tokio::test]
async fn tcp_is_served_with_tls() {
    let manager = Manager::new();
    let options = manager.options("api=unix:@,api=tcp:127.0.0.1:0");
    let daemon = Daemon::start(&options);
    // The configured address, and the one that was given.
    eventually("the log's line of both addresses", async || {
        let log = daemon.log();
        (log.matches("tcp:127.0.0.1:").count() >= 2).then_some(())
    })
    .await;
    asks(&manager.socket()).await;
    let api = Api::tcp(&daemon).await;
    assert!(!api.node_info().await.platforms.is_empty());
    daemon.stop();
}

#[test]
fn what_cannot_be_served_is_refused_at_the_start() {
    for (sockets, told) in [
        ("api=datagram:@", "neither a stream socket"),
        ("api=file:/dev/null", "neither a stream socket"),
        ("stagepagesd.socket=unix:@", "name it api or health"),
        ("api=pair:", "does not listen"),
        ("api=tcp:127.0.0.1:0", "mutual TLS only"),
        ("health=unix:@", "no TCP socket"),
        (
            "health=tcp:127.0.0.1:0,health=tcp:127.0.0.1:0",
            "two sockets are named health",
        ),
        (
            "api=pair:,api=pair:,api=pair:,api=pair:,api=pair:",
            "at most 4",
        ),
    ] {
        let manager = Manager::new();
        let options = manager.options(sockets).without_tcp();
        let failed = Daemon::try_start(&options).unwrap_err();
        assert!(failed.log.contains(told), "{sockets}: {}", failed.log);
        drop(fs::remove_file(manager.socket()));
    }
}
