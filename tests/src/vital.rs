//! What a client costs the daemon: its memory and its descriptors, as the kernel counts them.
//!
//! **Invariant:** the process that is looked at is the daemon itself, neither the supervisor nor a launch host.
use std::fs;

use crate::bench::{Bench, on_platform};
use crate::options::DaemonOptions;
use crate::wait::eventually;
use nix::unistd::Pid;
use stagepages_proto::v1::{ListLaunchesRequest, Platform};

/// The daemon of a bench.
#[derive(Debug, Clone, Copy)]
pub struct Vital {
    pid: Pid,
    fds: usize,
    memory: u64,
}

impl Vital {
    /// The daemon as it is now.
    ///
    /// # Panics
    /// If there is none; so below.
    #[must_use]
    pub fn of(bench: &Bench) -> Self {
        let pid = bench.daemon.daemon_pid();
        Self {
            pid,
            fds: fds(pid),
            memory: memory(pid),
        }
    }

    /// Private memory beyond what it was, in bytes.
    ///
    /// # Panics
    /// See [`Vital::of`].
    #[must_use]
    pub fn growth(&self) -> u64 {
        memory(self.pid).saturating_sub(self.memory)
    }

    /// Waits until no more descriptors are open than there were.
    ///
    /// # Panics
    /// If more stay open; and see [`Vital::of`].
    pub async fn recovered(&self) {
        eventually("the daemon's descriptors to come back", async || {
            (fds(self.pid) <= self.fds).then_some(())
        })
        .await;
    }
}

/// Runs `attack` on `sim`. Before and after it every descriptor is counted, and at the end a newcomer is served.
///
/// # Panics
/// If not, or if `attack` fails.
pub async fn survives(options: DaemonOptions, attack: impl AsyncFn(&Bench, Vital)) {
    on_platform(&options, Platform::Sim, async |bench: &Bench| {
        // What is opened once and kept is open now.
        bench.still_serves().await;
        let vital = Vital::of(bench);
        attack(bench, vital).await;
        bury(bench).await;
        bench.still_serves().await;
        vital.recovered().await;
    })
    .await;
}

/// Ends and deletes every launch, because the daemon has descriptors for each.
async fn bury(bench: &Bench) {
    let all = ListLaunchesRequest::default();
    let found = bench.api.launches.clone().list_launches(all).await;
    for launch in found.expect("launches are listed").into_inner().launches {
        bench.api.abort(&launch.name).await.expect("is aborted");
        bench.api.delete(&launch.name).await.expect("is deleted");
    }
}

fn fds(pid: Pid) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("the daemon lives")
        .count()
}

fn memory(pid: Pid) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the daemon lives");
    rollup
        .lines()
        .filter(|line| line.starts_with("Private_"))
        .map(|line| {
            let kib = line.split_whitespace().nth(1).expect("a number");
            kib.parse::<u64>().expect("a number") << 10
        })
        .sum()
}
