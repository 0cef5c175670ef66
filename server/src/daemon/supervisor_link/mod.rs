//! The daemon's end of its socket to the supervisor: hosts are asked for here, and here it is told how each ended.
//!
//! One task reads; callers send for themselves. What is kept is bounded: [`MAX_PENDING_SPAWNS`](crate::supervisor::proto::MAX_PENDING_SPAWNS) requests without an answer, and one entry for each
//! living host.
//!
//! An exit is the daemon's to acknowledge ([`SupervisorLink::acknowledge`]), once its record of it is durable; until then the supervisor tells it to each
//! next daemon. Exits that nobody has to record, of probes and of hosts that nobody watches, are acknowledged here.
//!
//! **Invariant:** a host that the supervisor started is either somebody's [`HostChild`] or is killed: nobody stops waiting for one and leaves
//! it behind. Its exit reaches every clone of that child, however late it is asked for.

mod greeting;
mod shared;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{future, io};

use nix::sys::signal::Signal;
use stagepages_host::wire::{self, SeqSocket};
use tokio::sync::{AcquireError, watch};

use super::aio::AsyncSeq;
use crate::supervisor::proto::{
    AdoptHost, KillHost, PROTOCOL_VERSION, Ready, RequestBody, SpawnHost,
};
use crate::supervisor::{BadHostId, HostExit, HostId, HostKind, SocketName};

use shared::{Left, Shared};

/// How long the supervisor, which never waits for anything else, may take to answer a greeting.
const PATIENCE: Duration = Duration::from_secs(10);

/// The supervisor, for the daemon. Clones share one socket.
#[derive(Clone, Debug)]
pub struct SupervisorLink {
    shared: Arc<Shared>,
}

/// What a new daemon is told first.
#[derive(Debug)]
pub struct Welcome {
    /// Which daemon of this supervisor this is, from 1.
    pub epoch: u64,
    /// Hosts that live, started by an earlier daemon.
    pub hosts: Vec<LivingHost>,
    /// Hosts whose end no earlier daemon acknowledged. This one has to, by [`SupervisorLink::acknowledge`].
    pub exits: Vec<(HostId, HostExit)>,
    /// Listening sockets that a service manager made.
    pub sockets: Vec<(SocketName, OwnedFd)>,
}

/// A host that an earlier daemon started.
#[derive(Debug)]
pub struct LivingHost {
    /// What it is for.
    pub kind: HostKind,
    /// The host.
    pub child: HostChild,
}

/// A host that was started. It listens on its socket from before its first instruction.
#[derive(Clone, Debug)]
pub struct HostChild {
    /// Its name.
    pub id: HostId,
    /// Its process id.
    pub pid: u32,
    /// Where it listens, until it ends.
    pub socket_path: PathBuf,
    exit: watch::Receiver<Option<HostExit>>,
}

/// Why there is no host.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// Not a name for a host.
    #[error(transparent)]
    BadId(#[from] BadHostId),
    /// Somebody waits for a host of this name.
    #[error("host {id} is being started already")]
    Pending {
        /// Its name.
        id: HostId,
    },
    /// The supervisor or the kernel refused.
    #[error("{message}")]
    Refused {
        /// See [`SpawnFailed::errno`](crate::supervisor::proto::SpawnFailed::errno).
        errno: i32,
        /// The same for a person.
        message: String,
    },
    /// Nobody is there to start it.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// Why the supervisor cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It is gone, or the connection to it is. The daemon has to end.
    #[error("the supervisor is gone")]
    Gone,
    /// Standard input is not its socket.
    #[error(
        "standard input is no supervisor's socket: start `stagepagesd serve`, which starts the daemon"
    )]
    NoSocket(#[source] io::Error),
    /// It did not answer in time.
    #[error("the supervisor does not answer")]
    Silent,
    /// It speaks another protocol.
    #[error("the supervisor answers with what is no welcome of version {PROTOCOL_VERSION}")]
    Unexpected,
    /// A request that fits no frame.
    #[error(transparent)]
    Unsendable(#[from] wire::CodecError),
}

impl SupervisorLink {
    /// Greets the supervisor over the socket that the daemon was born with ([`wire::take_stdin`]), and starts the reader.
    ///
    /// # Errors
    /// See [`LinkError`]; all are fatal to a daemon.
    pub async fn start(socket: SeqSocket) -> Result<(Self, Welcome), LinkError> {
        let socket = AsyncSeq::new(socket).map_err(LinkError::NoSocket)?;
        let told = tokio::time::timeout(PATIENCE, greeting::greet(&socket))
            .await
            .map_err(|_elapsed| LinkError::Silent)??;
        let (shared, hosts) = Shared::new(socket, told.host_dir, told.hosts);
        let link = Self {
            shared: Arc::new(shared),
        };
        tokio::spawn(Arc::clone(&link.shared).read());
        let welcome = Welcome {
            epoch: told.epoch,
            hosts,
            exits: told.exits,
            sockets: told.sockets,
        };
        Ok((link, welcome))
    }

    /// A link for tests of what needs none: nobody is at its other end.
    #[cfg(test)]
    pub(super) fn to_nobody() -> io::Result<Self> {
        let (ours, _) = SeqSocket::pair()?;
        let (shared, _) = Shared::new(AsyncSeq::new(ours)?, PathBuf::new(), Vec::new());
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Says that this daemon serves: from now on its death is answered by a restart.
    ///
    /// # Errors
    /// [`LinkError::Gone`].
    pub async fn ready(&self) -> Result<(), LinkError> {
        self.shared.send(RequestBody::Ready(Ready {})).await
    }

    /// Waits until this daemon is to make room for its successor, because the supervisor was upgraded: it has to drain and end, and leave its hosts.
    pub async fn retired(&self) {
        self.shared.retired().await;
    }

    /// Where hosts listen, as `<id>.sock`.
    #[must_use]
    pub fn host_dir(&self) -> &Path {
        self.shared.host_dir()
    }

    /// The supervisor's process, as the kernel tells it (SO_PEERCRED). It is who made the sockets of the hosts that it started.
    #[must_use]
    pub fn supervisor_pid(&self) -> i32 {
        self.shared.supervisor_pid()
    }

    /// Starts a host of `platform` with these arguments behind `host`: the program that the supervisor's configuration names for it, or else, and for
    /// an empty platform, the built-in one. The id names it for ever; use no id twice.
    ///
    /// A caller that stops waiting gets no host: one that was asked for already is killed as soon as it is there.
    ///
    /// # Errors
    /// See [`SpawnError`]; there is no host then.
    pub async fn spawn_host(
        &self,
        id: &str,
        kind: HostKind,
        platform: &str,
        args: Vec<String>,
    ) -> Result<HostChild, SpawnError> {
        let id: HostId = id.parse()?;
        let request = RequestBody::SpawnHost(SpawnHost {
            id: id.to_string(),
            kind: i32::from(kind),
            args,
            platform: platform.to_owned(),
        });
        self.ask(id, kind, Left::Killed, request, &[]).await
    }

    /// Takes in a host that an earlier supervisor started and did not live to end: from now on it is killed, and its exit told, as that of any other.
    /// `pidfd` MUST mean its process, and the caller MUST have verified that it is that host.
    ///
    /// A caller that stops waiting leaves the host alive, and perhaps adopted; the next daemon is told so.
    ///
    /// # Errors
    /// See [`SpawnError`]; the host is as it was.
    pub async fn adopt(
        &self,
        id: &HostId,
        kind: HostKind,
        pidfd: BorrowedFd<'_>,
    ) -> Result<HostChild, SpawnError> {
        let request = RequestBody::AdoptHost(AdoptHost {
            id: id.to_string(),
            kind: i32::from(kind),
        });
        self.ask(id.clone(), kind, Left::Alive, request, &[pidfd])
            .await
    }

    /// Says that the end of a host is on record, and need not be told to the next daemon.
    ///
    /// # Errors
    /// [`LinkError::Gone`].
    pub async fn acknowledge(&self, id: &HostId) -> Result<(), LinkError> {
        self.shared.acknowledge(id).await
    }

    async fn ask(
        &self,
        id: HostId,
        kind: HostKind,
        left: Left,
        request: RequestBody,
        fds: &[BorrowedFd<'_>],
    ) -> Result<HostChild, SpawnError> {
        let shared = &self.shared;
        let permit = shared
            .place()
            .await
            .map_err(|_closed: AcquireError| LinkError::Gone)?;
        let mut answer = shared.expect(id, kind, left, permit)?;
        shared.send_with(request, fds).await?;
        answer.sent().await
    }

    /// Sends a signal to a host. One that ended already is no error: its exit is known, or on its way.
    ///
    /// # Errors
    /// [`LinkError::Gone`].
    pub async fn kill_host(&self, id: &str, signal: Signal) -> Result<(), LinkError> {
        let request = KillHost {
            id: id.to_owned(),
            signal: signal as i32,
        };
        self.shared.send(RequestBody::KillHost(request)).await
    }

    /// Waits until the supervisor is gone. The daemon has to end then: nobody would restart it or reap its hosts.
    pub async fn closed(&self) {
        self.shared.gone().await;
    }
}

impl HostChild {
    /// Waits until the host has ended, and tells how. May be asked any number of times, before or after.
    ///
    /// Waits for ever once the supervisor is gone, since then nobody knows; see [`SupervisorLink::closed`].
    pub async fn exited(&self) -> HostExit {
        let mut exit = self.exit.clone();
        let known = exit.wait_for(Option::is_some).await;
        match known.ok().and_then(|exit| *exit) {
            Some(exit) => exit,
            None => future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests;
