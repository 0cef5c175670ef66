//! How launches end, how their hosts do, and how well the end of staging is foretold.
//!
//! **Invariant:** a launch is counted by the daemon that saw the end of its host, once.

use std::time::Duration;

use nix::sys::signal::Signal;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use stagepages_host::{
    launch::{AbortReason, State},
    platform::PlatformKind,
};

use super::{installs::Buckets, names};
use crate::{
    daemon::{Ending, Status},
    supervisor::{ExitStatus, HostExit},
};

/// From 1 ms to 262 s.
const ERRORS: Buckets = Buckets {
    first: 1e-3,
    factor: 4.0,
    count: 10,
};

/// See the module.
#[derive(Debug)]
pub struct Launches {
    ended: Family<[(&'static str, &'static str); 2], Counter>,
    deaths: Family<[(&'static str, &'static str); 2], Counter>,
    adopted: Family<[(&'static str, &'static str); 1], Counter>,
    eta_error: Family<[(&'static str, &'static str); 1], Histogram, Buckets>,
}

const CAUSES: [&str; 6] = [
    "requested",
    "lease_expired",
    "platform_refused",
    "host_died",
    "host_killed",
    "guest_stopped",
];

impl Launches {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let launches = Self {
            ended: Family::default(),
            deaths: Family::default(),
            adopted: Family::default(),
            eta_error: Family::new_with_constructor(ERRORS),
        };
        registry.register(
            "launches_ended",
            "Launches that are over and whose host is gone, by cause",
            launches.ended.clone(),
        );
        registry.register(
            "host_deaths",
            "Launch hosts that died without a word, by how",
            launches.deaths.clone(),
        );
        registry.register(
            "hosts_adopted",
            "Launch hosts taken over from an earlier daemon",
            launches.adopted.clone(),
        );
        registry.register(
            "queue_eta_error_seconds",
            "By how much the time until a call's pages were installed differed from what the queue foretold",
            launches.eta_error.clone(),
        );
        for kind in PlatformKind::ALL {
            let platform = ("platform", names::platform(kind));
            for cause in CAUSES {
                drop(launches.ended.get_or_create(&[platform, ("cause", cause)]));
            }
            for cause in ["SIGKILL", "exit", "unknown"] {
                drop(launches.deaths.get_or_create(&[platform, ("cause", cause)]));
            }
            drop(launches.adopted.get_or_create(&[platform]));
        }
        for kind in [PlatformKind::Sim, PlatformKind::SevSnp] {
            let platform = ("platform", names::platform(kind));
            drop(launches.eta_error.get_or_create(&[platform]));
        }
        launches
    }

    /// Takes that a launch's host is gone; `status` is how the launch is since.
    pub fn gone(&self, kind: PlatformKind, status: &Status) {
        let platform = ("platform", names::platform(kind));
        let labels = [platform, ("cause", cause(status))];
        self.ended.get_or_create(&labels).inc();
        if let Some(Ending::Died(exit)) = &status.ending {
            let labels = [platform, ("cause", death(exit))];
            self.deaths.get_or_create(&labels).inc();
        }
    }

    /// Takes that a host of an earlier daemon is this one's.
    pub fn adopted(&self, kind: PlatformKind) {
        let labels = [("platform", names::platform(kind))];
        self.adopted.get_or_create(&labels).inc();
    }

    /// Takes how long a call took of which was said that it takes `foretold`.
    pub fn foretold(&self, kind: PlatformKind, foretold: Duration, took: Duration) {
        let error = foretold.abs_diff(took).as_secs_f64();
        let labels = [("platform", names::platform(kind))];
        self.eta_error.get_or_create(&labels).observe(error);
    }
}

/// Why a launch is over.
fn cause(status: &Status) -> &'static str {
    match (&status.ending, &status.snapshot.abort) {
        (Some(Ending::Died(_)), _) => "host_died",
        (Some(Ending::Killed), _) => "host_killed",
        (_, Some(abort)) => match abort.reason {
            AbortReason::Requested => "requested",
            AbortReason::LeaseExpired => "lease_expired",
            AbortReason::PlatformRefused => "platform_refused",
        },
        (_, None) if status.snapshot.state == State::Stopped => "guest_stopped",
        (_, None) => "host_died",
    }
}

/// How a host died.
fn death(exit: &HostExit) -> &'static str {
    match exit.status {
        ExitStatus::Code(_) => "exit",
        ExitStatus::Signal { signal, .. } => {
            Signal::try_from(signal).map_or("signal", Signal::as_str)
        }
        ExitStatus::Unknown => "unknown",
    }
}
