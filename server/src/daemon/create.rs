//! Making a launch: a host of its own, a connection to it, and the launch in it.

use std::{os::fd::AsFd as _, sync::Arc, time::Duration};

use nix::sys::signal::Signal;
use prost::Message as _;
use stagepages_host::{
    launch::{Refusal, State},
    platform::PlatformKind,
    protocol::{self, Command, Hello, Outcome},
};
use stagepages_proto::v1;
use stagepages_schedule::Class;
use tokio::sync::watch;

use super::{
    FirmwareQueues, HostLink, Launch, Ledgers, Record, Records, Seat, Staging, Status, Told,
    Withstands,
    greeting::{Greeting, dial},
    launch::Identity,
    supervisor_link::{HostChild, SupervisorLink},
    versions,
    wires::Wires,
};
use crate::{
    audit::{self, Audit, States, Unwritten},
    metrics::Metrics,
    rpc::{convert, reason::Reason, settings, status::ApiError},
    supervisor::HostKind,
};

/// How long a host may take to have its launch ready. A memslot of a terabyte takes 7 seconds to set (kernel.md, section 12).
const PATIENCE: Duration = Duration::from_secs(60);

/// When a log that could not be written is tried again, and a creation may be.
const AUDIT_RETRY: Duration = Duration::from_secs(1);

/// Everything that a launch is made from.
#[derive(Debug)]
pub struct Blueprint {
    /// Who it will be.
    pub identity: Identity,
    /// What the host is asked for.
    pub create: protocol::Create,
}

/// Starts hosts for one daemon.
#[derive(Debug, Clone)]
pub struct Nursery {
    /// Who starts processes.
    pub supervisor: SupervisorLink,
    /// Which daemon this is.
    pub epoch: u64,
    /// Arguments of every host, beside its id.
    pub host_args: Vec<String>,
    /// Where launches are kept.
    pub records: Records,
    /// Where the ledgers of ended ones are.
    pub ledgers: Ledgers,
    /// Calls of one launch that may wait or run.
    pub max_pending_calls: u32,
    /// For firmware that is one for the whole machine.
    pub queues: FirmwareQueues,
    /// Where it is told what becomes of launches.
    pub audit: Audit,
    /// Where that is counted.
    pub metrics: Metrics,
}

impl Nursery {
    /// Makes the launch. What was begun of one that cannot be made is killed.
    ///
    /// # Errors
    /// What the host refused, or HOST_DIED, HOST_UNREACHABLE, NO_CAPACITY, AUDIT_UNAVAILABLE.
    pub async fn make(&self, blueprint: Blueprint) -> Result<Arc<Launch>, ApiError> {
        let id = blueprint.identity.id.clone();
        let uid = blueprint.identity.uid.clone();
        // Before a host is made that would have to be ended.
        self.audit
            .writable()
            .map_err(|why| unaudited(&why).launch(&id))?;
        let child = self
            .spawn(
                &uid,
                HostKind::Launch,
                &blueprint.identity.platform.to_string(),
            )
            .await
            .map_err(|error| error.launch(&id))?;
        let made = tokio::time::timeout(PATIENCE, self.furnish(blueprint, child.clone())).await;
        let made = made.unwrap_or_else(|_elapsed| {
            let message = format!(
                "the launch host was not ready within {} s",
                PATIENCE.as_secs()
            );
            Err(ApiError::new(Reason::HostUnreachable, message))
        });
        let launch = match made {
            Ok(launch) => launch,
            Err(error) => {
                self.put_away(&uid, &child).await;
                return Err(error.launch(&id));
            }
        };
        // Before anyone is told of the launch: what was answered is found again.
        if let Err(error) = launch.save(Withstands::Process).await {
            take_back(&launch).await;
            let text =
                format!("the launch cannot be put on record: {error}; make room in state_dir");
            return Err(ApiError::new(Reason::NoCapacity, text).launch(&id));
        }
        launch.asked_for.note(State::Created);
        if let Err(why) = audit::created(&launch).await {
            take_back(&launch).await;
            if why == Unwritten::Slow {
                // It may be written yet, and is not to be the last that is heard of this launch.
                audit::follow(&launch, States::default());
            }
            return Err(unaudited(&why).launch(&id));
        }
        audit::follow(&launch, States::default());
        Ok(launch)
    }

    /// Starts a host of `platform`; the built-in program where that is empty, or has no program of its own.
    ///
    /// # Errors
    /// NO_CAPACITY where the machine has no room for a process, INTERNAL_ERROR where the supervisor is gone.
    pub async fn spawn(
        &self,
        uid: &str,
        kind: HostKind,
        platform: &str,
    ) -> Result<HostChild, ApiError> {
        let mut args = self.host_args.clone();
        args.push(format!("--id={uid}"));
        self.supervisor
            .spawn_host(uid, kind, platform, args)
            .await
            .map_err(|error| {
                ApiError::new(
                    Reason::NoCapacity,
                    format!("a launch host cannot be started: {error}"),
                )
            })
    }

    /// Connects to a host and greets it.
    ///
    /// # Errors
    /// HOST_DIED.
    pub async fn connect(
        &self,
        child: &HostChild,
        told: impl Fn(Told) + Send + Sync + 'static,
    ) -> Result<HostLink, ApiError> {
        let died = |error: &dyn std::fmt::Display| {
            ApiError::new(
                Reason::HostDied,
                format!("the launch host died before it had a launch: {error}"),
            )
        };
        let link = dial(&child.socket_path, told).map_err(|error| died(&error))?;
        let answer = link
            .call(Command::Hello(self.hello()), &[], None)
            .await
            .map_err(|error| died(&error))?;
        let greeting = Greeting::from_answer(answer, Some(child.pid)).map_err(|error| died(&error));
        link.agreed(greeting?.version);
        Ok(link)
    }

    pub(super) fn hello(&self) -> Hello {
        Hello {
            version: protocol::VERSION,
            epoch: self.epoch,
        }
    }

    /// Ends a host that is not needed any more.
    pub async fn put_away(&self, uid: &str, child: &HostChild) {
        if let Err(error) = self.supervisor.kill_host(uid, Signal::SIGKILL).await {
            tracing::warn!(%error, pid = child.pid, "ending a launch host");
        }
    }

    async fn furnish(
        &self,
        blueprint: Blueprint,
        child: HostChild,
    ) -> Result<Arc<Launch>, ApiError> {
        let internal = |error: std::io::Error| {
            ApiError::new(
                Reason::NoCapacity,
                format!("the staging memory of the launch: {error}"),
            )
        };
        let staging = Staging::new().map_err(internal)?;
        let platform = blueprint.identity.platform;
        let wires = Wires::new(self.metrics.clone());
        wires.counted.begin(platform, 0);
        let link = self.connect(&child, wires.told()).await?;
        let mut create = blueprint.create;
        versions::fits(&create, link.version())?;
        create.record = Record::of(&blueprint.identity).encode_to_vec();
        let command = Command::Create(create);
        let answer = link.call(command, &[staging.file().as_fd()], None).await;
        match answer {
            Ok(answer) => {
                let made = answer
                    .outcome
                    .map_err(|refusal| refused(&refusal, platform))?;
                if let Outcome::Done(done) = made {
                    self.metrics.installs().created(platform, done.spent);
                }
            }
            Err(lost) => {
                let exit = tokio::time::timeout(Duration::from_secs(5), child.exited()).await;
                let how = exit.map_or_else(|_elapsed| lost.to_string(), |exit| exit.to_string());
                return Err(ApiError::new(
                    Reason::HostDied,
                    format!("the launch host died while it made the launch: {how}"),
                ));
            }
        };
        let seat = self.seat(&blueprint.identity, &link, &wires.status).await;
        let mut parts = wires.parts(self, link, Some(staging), Some(child));
        parts.seat = seat;
        Ok(Launch::new(blueprint.identity, parts))
    }

    /// A seat in the queue for the platform's firmware, where that has one, and the host can be metered.
    pub(super) async fn seat(
        &self,
        identity: &Identity,
        link: &HostLink,
        status: &watch::Sender<Status>,
    ) -> Option<Arc<Seat>> {
        let queue = self.queues.of(identity.platform)?;
        if !versions::is_metered(link.version()) {
            return None;
        }
        let class = match identity.spec.priority() {
            v1::LaunchPriority::High => Class::High,
            v1::LaunchPriority::Normal | v1::LaunchPriority::Unspecified => Class::Normal,
            v1::LaunchPriority::Low => Class::Low,
        };
        let planned = Some(identity.spec.planned_pages).filter(|planned| *planned > 0);
        Some(Seat::take(queue, link, status, class, planned).await)
    }
}

/// Ends a launch that nobody was told of: nothing of it is kept, also not how it ends now.
async fn take_back(launch: &Launch) {
    if let Err(error) = launch.forget().await {
        tracing::error!(launch = launch.id, %error, "the record of a refused launch");
    }
    launch.kill().await;
}

/// The error of a launch that is not created because that would not be on record.
fn unaudited(why: &Unwritten) -> ApiError {
    let text = format!(
        "{why}, and no launch is created without a record of it; make room for audit_dir, or see the daemon's log"
    );
    ApiError::new(Reason::AuditUnavailable, text).retry_after(AUDIT_RETRY)
}

fn refused(refusal: &Refusal, platform: PlatformKind) -> ApiError {
    let error = convert::refusal(refusal).meta("platform", platform);
    settings::blame(error, "spec.", refusal)
}
