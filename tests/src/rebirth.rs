//! Life behind a death: what tests wait for that kill a daemon, or have the supervisor go on as another build.
//!
//! **Invariant:** while a host has not answered the new daemon, that is what callers are told, and nothing else.
use nix::sys::signal::{Signal, kill};
use stagepages_proto::v1::{GetNodeInfoRequest, Launch, LaunchState};

use crate::api::Api;
use crate::bench::Bench;
use crate::refusal::Refusal;
use crate::wait::eventually;

/// The launch once its host has answered the daemon, when `wanted` says so.
///
/// # Panics
/// If that takes too long.
pub async fn when(
    bench: &Bench,
    name: &str,
    what: &str,
    wanted: impl Fn(&Launch) -> bool,
) -> Launch {
    eventually(what, async || match bench.api.get(name).await {
        Ok(launch) => Some(launch).filter(&wanted),
        Err(status) => {
            let refusal = Refusal::of(&status);
            assert_eq!(refusal.reason, "HOST_UNREACHABLE", "{refusal:?}");
            None
        }
    })
    .await
}

/// The launch once its host has answered the daemon.
///
/// # Panics
/// If that takes too long.
pub async fn answered(bench: &Bench, name: &str) -> Launch {
    when(bench, name, "a host's answer", |_| true).await
}

/// The launch once it is over and its host is gone.
///
/// # Panics
/// If that takes too long.
pub async fn over(bench: &Bench, name: &str) -> Launch {
    when(bench, name, "the end of a launch", |launch| {
        launch.state() == LaunchState::Aborted && launch.resources_released
    })
    .await
}

/// Kills the daemon, and waits for the next.
///
/// # Panics
/// If there is none within a minute.
pub async fn renew_daemon(bench: &mut Bench) {
    bench.daemon.kill_daemon();
    bench.reborn().await;
}

impl Bench {
    /// Has the supervisor go on as the build that its file holds now, and waits until another daemon is there. That one may not serve yet.
    ///
    /// # Panics
    /// If there is none within a minute, or if the supervisor is another process then.
    pub async fn upgrade(&self) {
        let (supervisor, retired) = (self.daemon.pid(), self.daemon.daemon_pid());
        kill(supervisor, Signal::SIGUSR2).unwrap();
        eventually("another daemon", async || {
            let daemon = self.daemon.find_daemon()?;
            (daemon != retired).then_some(())
        })
        .await;
        assert_eq!(self.daemon.pid(), supervisor, "the same process");
    }

    /// Waits until a daemon serves, whoever it is, and connects to it.
    ///
    /// # Panics
    /// If there is none within a minute.
    pub async fn meet(&mut self) {
        let socket = self.daemon.socket().to_owned();
        self.api = eventually("a daemon that serves", async || {
            let api = Api::try_unix(&socket).await?;
            api.node
                .clone()
                .get_node_info(GetNodeInfoRequest {})
                .await
                .ok()?;
            Some(api)
        })
        .await;
    }
}
