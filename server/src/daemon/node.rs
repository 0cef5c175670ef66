//! What this machine can do, as probes in short-lived hosts found it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use stagepages_host::{
    platform::{Check, Facts, PlatformKind, Report},
    protocol::{BadMessage, Command, Outcome, Probe},
};

use super::{create::Nursery, supervisor_link::HostChild};
use crate::supervisor::HostKind;

/// A probe's findings are used this long before anyone's question makes another.
const FRESH: Duration = Duration::from_secs(60);

/// How long a probe may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long its host may take to end afterwards.
const GOODBYE: Duration = Duration::from_secs(1);

/// The findings, and how to renew them.
#[derive(Debug)]
pub struct Node {
    nursery: Nursery,
    /// Platforms that another program than the built-in one hosts.
    programs: BTreeMap<String, PathBuf>,
    found: Mutex<(Instant, Arc<Vec<Report>>)>,
    probing: AtomicBool,
    probes: AtomicU64,
}

impl Node {
    /// Probes for the first time. A probe that fails is a finding too.
    pub async fn probe(nursery: Nursery, programs: BTreeMap<String, PathBuf>) -> Self {
        let node = Self {
            nursery,
            programs,
            found: Mutex::new((Instant::now(), Arc::new(Vec::new()))),
            probing: AtomicBool::new(false),
            probes: AtomicU64::new(0),
        };
        node.renew().await;
        node
    }

    /// The program that hosts this platform's launches, where it is not the built-in one.
    pub fn program(&self, platform: PlatformKind) -> Option<&Path> {
        self.programs
            .get(&platform.to_string())
            .map(PathBuf::as_path)
    }

    /// What is known, at most a minute old unless somebody is finding out right now.
    pub async fn reports(self: &Arc<Self>) -> Arc<Vec<Report>> {
        let (when, reports) = self
            .found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if when.elapsed() < FRESH {
            return reports;
        }
        // A task of its own: a caller that leaves does not leave half a probe behind.
        let node = Arc::clone(self);
        if let Err(error) = tokio::spawn(async move { node.renew().await }).await {
            tracing::error!(%error, "probing the platforms");
        }
        self.found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1
            .clone()
    }

    /// What is missing for `platform`; empty if it can be used.
    pub async fn missing(self: &Arc<Self>, platform: PlatformKind) -> Vec<Check> {
        let reports = self.reports().await;
        let checks = reports
            .iter()
            .find(|report| report.platform == platform)
            .map(|report| &report.checks);
        checks
            .into_iter()
            .flatten()
            .filter(|check| !check.ok)
            .cloned()
            .collect()
    }

    async fn renew(&self) {
        if self.probing.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut reports = self.ask("").await;
        // What hosts a platform says what it can do there.
        for platform in self.programs.keys() {
            let its_own = self.ask(platform).await;
            for report in &mut reports {
                if report.platform.to_string() == *platform
                    && let Some(own) = its_own.iter().find(|own| own.platform == report.platform)
                {
                    report.clone_from(own);
                }
            }
        }
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) =
            (Instant::now(), Arc::new(reports));
        self.probing.store(false, Ordering::Release);
    }

    /// Asks the program that hosts `platform`, or the built-in one. A probe that fails is a finding too.
    async fn ask(&self, platform: &str) -> Vec<Report> {
        let number = self.probes.fetch_add(1, Ordering::Relaxed);
        let uid = format!("probe-{}-{number}", self.nursery.epoch);
        let reports = self.probe_with(&uid, platform).await;
        reports.unwrap_or_else(|why| failed(&why))
    }

    async fn probe_with(&self, uid: &str, platform: &str) -> Result<Vec<Report>, String> {
        let child = self
            .nursery
            .spawn(uid, HostKind::Probe, platform)
            .await
            .map_err(|error| error.to_string())?;
        let found = tokio::time::timeout(PATIENCE, self.question(&child)).await;
        // It ends when it is hung up on; whatever keeps it from that does not keep it alive.
        if tokio::time::timeout(GOODBYE, child.exited()).await.is_err() {
            self.nursery.put_away(uid, &child).await;
        }
        found.unwrap_or_else(|_elapsed| Err(format!("no answer within {} s", PATIENCE.as_secs())))
    }

    async fn question(&self, child: &HostChild) -> Result<Vec<Report>, String> {
        let link = self
            .nursery
            .connect(child, |_| {})
            .await
            .map_err(|error| error.to_string())?;
        let answer = link.call(Command::Probe(Probe {}), &[], None).await;
        link.close();
        match answer.map_err(|error| error.to_string())?.outcome {
            Ok(Outcome::Probed(probed)) => {
                let reports: Result<Vec<_>, BadMessage> =
                    probed.reports.into_iter().map(Report::try_from).collect();
                reports.map_err(|error| error.to_string())
            }
            other => Err(format!("an unexpected answer: {other:?}")),
        }
    }
}

/// The findings of a probe that did not work: nothing is available, and that is why.
fn failed(why: &str) -> Vec<Report> {
    tracing::error!(why, "probing the platforms failed");
    let check = Check {
        subject: "probe".to_owned(),
        ok: false,
        found: why.to_owned(),
        remedy: "see the daemon's log; the probe runs `stagepagesd host` like every launch"
            .to_owned(),
    };
    PlatformKind::ALL
        .map(|platform| Report {
            platform,
            checks: vec![check.clone()],
            runs_guests: false,
            facts: Facts::default(),
        })
        .into()
}
