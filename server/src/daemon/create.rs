//! Making a launch: a host of its own, a connection to it, and the launch in it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nix::sys::signal::Signal;
use stagepages_host::{
    launch::Refusal,
    platform::PlatformKind,
    protocol::{self, Command, Hello, Outcome},
    wire::SeqSocket,
};
use std::os::fd::AsFd as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Console, HostLink, Launch, Staging, Status, Told, guest,
    launch::{Identity, Parts},
    supervisor_link::{HostChild, SupervisorLink},
};
use crate::{
    rpc::{convert, reason::Reason, status::ApiError},
    supervisor::HostKind,
};

/// How long a host may take to have its launch ready. A memslot of a terabyte takes 7 seconds to set (kernel.md, section 12).
const PATIENCE: Duration = Duration::from_secs(60);

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
}

impl Nursery {
    /// Makes the launch. What was begun of one that cannot be made is killed.
    ///
    /// # Errors
    /// What the host refused, or HOST_DIED, HOST_UNREACHABLE, NO_CAPACITY.
    pub async fn make(&self, blueprint: Blueprint) -> Result<Arc<Launch>, ApiError> {
        let id = blueprint.identity.id.clone();
        let uid = blueprint.identity.uid.clone();
        let child = self
            .spawn(&uid, HostKind::Launch)
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
        if made.is_err() {
            self.put_away(&uid, &child).await;
        }
        made.map_err(|error| error.launch(&id))
    }

    /// Starts a host.
    ///
    /// # Errors
    /// NO_CAPACITY where the machine has no room for a process, INTERNAL_ERROR where the supervisor is gone.
    pub async fn spawn(&self, uid: &str, kind: HostKind) -> Result<HostChild, ApiError> {
        let mut args = self.host_args.clone();
        args.push(format!("--id={uid}"));
        self.supervisor
            .spawn_host(uid, kind, args)
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
        told: impl Fn(Told) + Send + 'static,
    ) -> Result<HostLink, ApiError> {
        let died = |error: &dyn std::fmt::Display| {
            ApiError::new(
                Reason::HostDied,
                format!("the launch host died before it had a launch: {error}"),
            )
        };
        // The socket listens since before the host was started, so this does not wait.
        let socket = SeqSocket::connect(&child.socket_path).map_err(|error| died(&error))?;
        let link = HostLink::start(socket, told).map_err(|error| died(&error))?;
        let hello = Hello {
            version: protocol::VERSION,
            epoch: self.epoch,
        };
        let answer = link
            .call(Command::Hello(hello), &[], None)
            .await
            .map_err(|error| died(&error))?;
        match answer.outcome {
            Ok(Outcome::Welcome(welcome))
                if (protocol::OLDEST_VERSION..=protocol::VERSION).contains(&welcome.version) =>
            {
                link.agreed(welcome.version);
                Ok(link)
            }
            other => Err(died(&format!("it answers a greeting with {other:?}"))),
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
        let (status, _) = watch::channel(Status::fresh());
        let (updated, remembered) = (status.clone(), Arc::new(Mutex::new(Vec::new())));
        let farewell = Arc::clone(&remembered);
        let console = Arc::new(Console::default());
        let output = Arc::clone(&console);
        let told_all = CancellationToken::new();
        let end = told_all.clone();
        let link = self
            .connect(&child, move |told| match told {
                Told::Snapshot(snapshot) => {
                    updated.send_if_modified(|status| status.told(snapshot));
                }
                Told::Farewell(answers) => farewell
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(answers),
                Told::Console(console) => output.told(&console),
                Told::End => end.cancel(),
            })
            .await?;
        guest::fits(&blueprint.create, link.version())?;
        let command = Command::Create(blueprint.create);
        let answer = link.call(command, &[staging.file().as_fd()], None).await;
        match answer {
            Ok(answer) => answer
                .outcome
                .map_err(|refusal| refused(&refusal, blueprint.identity.platform))?,
            Err(lost) => {
                let exit = tokio::time::timeout(Duration::from_secs(5), child.exited()).await;
                let how = exit.map_or_else(|_elapsed| lost.to_string(), |exit| exit.to_string());
                return Err(ApiError::new(
                    Reason::HostDied,
                    format!("the launch host died while it made the launch: {how}"),
                ));
            }
        };
        Ok(Launch::new(
            blueprint.identity,
            Parts {
                staging,
                link,
                child,
                status,
                console,
                remembered,
                told_all,
                supervisor: self.supervisor.clone(),
            },
        ))
    }
}

fn refused(refusal: &Refusal, platform: PlatformKind) -> ApiError {
    convert::refusal(refusal).meta("platform", platform)
}
