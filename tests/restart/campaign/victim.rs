//! What is killed.
use nix::sys::signal::{Signal, kill};
use stagepages_tests::{Bench, Contents};

use super::load::Load;

/// A part of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Victim {
    Daemon,
    Host,
    Client,
    /// Supervisor, daemon and client; the service is started again.
    AllButHosts,
    /// Supervisor, daemon, hosts and client; the service is started again.
    All,
    /// Nothing is killed: the supervisor goes on as another build, and its daemon gives way to one of that.
    Upgrade,
}

impl Victim {
    /// Who can be killed. In a pid namespace nothing outlives the supervisor.
    pub(super) fn all(contained: bool) -> &'static [Self] {
        if contained {
            &[
                Self::Daemon,
                Self::All,
                Self::Host,
                Self::Upgrade,
                Self::Client,
            ]
        } else {
            &[
                Self::Daemon,
                Self::AllButHosts,
                Self::Host,
                Self::All,
                Self::Upgrade,
                Self::Client,
            ]
        }
    }

    /// Whether launches may be over afterwards.
    pub(super) fn ends_launches(self) -> bool {
        matches!(self, Self::Host | Self::All)
    }

    /// How often `stagectl` is killed.
    pub(super) fn clients(self) -> u64 {
        match self {
            Self::Client => 3,
            Self::AllButHosts | Self::All => 1,
            Self::Daemon | Self::Host | Self::Upgrade => 0,
        }
    }

    /// How often everything else is.
    pub(super) fn times(self, random: &mut Contents) -> u64 {
        match self {
            Self::Client => 0,
            Self::Daemon | Self::AllButHosts => 1 + random.below(3),
            Self::Host | Self::All | Self::Upgrade => 1,
        }
    }

    /// Kills it; afterwards the service is there again, or on its way.
    pub(super) async fn kill(self, bench: &mut Bench, load: &[Load], random: &mut Contents) {
        match self {
            Self::Daemon => {
                bench.daemon.kill_daemon();
            }
            Self::Host => {
                let length = u64::try_from(load.len()).unwrap();
                let load = &load[usize::try_from(random.below(length)).unwrap()];
                kill(bench.daemon.host(&load.launch), Signal::SIGKILL).unwrap();
            }
            Self::AllButHosts | Self::All => {
                tokio::task::block_in_place(|| {
                    if self == Self::All {
                        bench.daemon.kill_all();
                    } else {
                        bench.daemon.kill_all_but_hosts();
                    }
                    bench.daemon.start_again();
                });
                bench.reborn().await;
            }
            Self::Upgrade => upgrade(bench, load).await,
            Self::Client => {}
        }
    }
}

/// Upgrades the supervisor, and waits for the daemon that follows.
async fn upgrade(bench: &Bench, load: &[Load]) {
    let hosts = || -> Vec<_> {
        let launches = load.iter().map(|load| &load.launch);
        launches.map(|launch| bench.daemon.host(launch)).collect()
    };
    let before = hosts();
    bench.upgrade().await;
    assert_eq!(hosts(), before, "the same processes");
}
