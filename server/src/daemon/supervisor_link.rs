//! The daemon's end of its socket to the supervisor: hosts are asked for here, and here it is told how each ended.
//!
//! One task reads; callers send for themselves. What is kept is bounded: [`MAX_PENDING_SPAWNS`] requests without an answer, and one entry for each
//! living host.
//!
//! **Invariant:** a host that the supervisor started is either somebody's [`HostChild`] or is killed: nobody stops waiting for one and leaves
//! it behind. Its exit reaches every clone of that child, however late it is asked for.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use stagepages_host::wire::{self, SeqSocket};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::aio::AsyncSeq;
use crate::supervisor::proto::{
    AckExit, Event, EventBody, Hello, HostExited, KillHost, MAX_PENDING_SPAWNS, PROTOCOL_VERSION,
    Ready, Request, RequestBody, SpawnFailed, SpawnHost, Spawned,
};
use crate::supervisor::{BadHostId, HostExit, HostId, HostKind, socket_path};

/// How long the supervisor, which never waits for anything else, may take to answer a greeting.
const PATIENCE: Duration = Duration::from_secs(10);
/// Frames of one welcome; far more than a supervisor has hosts.
const MAX_WELCOMES: usize = 1024;

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
    /// Hosts whose end no earlier daemon came to know.
    pub exits: Vec<(HostId, HostExit)>,
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
        /// See [`SpawnFailed::errno`].
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

#[derive(Debug)]
struct Shared {
    socket: AsyncSeq,
    host_dir: PathBuf,
    gone: CancellationToken,
    spawns: Arc<Semaphore>,
    // A std mutex: nothing awaits under it. None once the supervisor is gone.
    state: Mutex<Option<State>>,
}

#[derive(Debug, Default)]
struct State {
    pending: HashMap<HostId, Pending>,
    living: HashMap<HostId, watch::Sender<Option<HostExit>>>,
}

#[derive(Debug)]
struct Pending {
    answer: oneshot::Sender<Result<HostChild, SpawnError>>,
    // Given back with the answer and not when the caller leaves, so that the supervisor's bound on answers holds.
    _permit: OwnedSemaphorePermit,
}

impl SupervisorLink {
    /// Greets the supervisor over the socket that the daemon was born with ([`wire::take_stdin`]), and starts the reader.
    ///
    /// # Errors
    /// See [`LinkError`]; all are fatal to a daemon.
    pub async fn start(socket: SeqSocket) -> Result<(Self, Welcome), LinkError> {
        let socket = AsyncSeq::new(socket).map_err(LinkError::NoSocket)?;
        let (told, host_dir) = tokio::time::timeout(PATIENCE, greet(&socket))
            .await
            .map_err(|_elapsed| LinkError::Silent)??;
        let mut state = State::default();
        let mut hosts = Vec::with_capacity(told.hosts.len());
        for (id, pid, kind) in told.hosts {
            let child = state.adopt(&host_dir, id, pid);
            hosts.push(LivingHost { kind, child });
        }
        let link = Self {
            shared: Arc::new(Shared {
                socket,
                host_dir,
                gone: CancellationToken::new(),
                spawns: Arc::new(Semaphore::new(MAX_PENDING_SPAWNS)),
                state: Mutex::new(Some(state)),
            }),
        };
        for (id, _) in &told.exits {
            link.shared.acknowledge(id).await?;
        }
        tokio::spawn(read(Arc::clone(&link.shared)));
        let welcome = Welcome {
            epoch: told.epoch,
            hosts,
            exits: told.exits,
        };
        Ok((link, welcome))
    }

    /// Says that this daemon serves: from now on its death is answered by a restart.
    ///
    /// # Errors
    /// [`LinkError::Gone`].
    pub async fn ready(&self) -> Result<(), LinkError> {
        self.shared.send(RequestBody::Ready(Ready {})).await
    }

    /// Starts a host with these arguments behind `host`. The id names it for ever; use no id twice.
    ///
    /// A caller that stops waiting gets no host: one that was asked for already is killed as soon as it is there.
    ///
    /// # Errors
    /// See [`SpawnError`]; there is no host then.
    pub async fn spawn_host(
        &self,
        id: &str,
        kind: HostKind,
        args: Vec<String>,
    ) -> Result<HostChild, SpawnError> {
        let shared = &self.shared;
        let id: HostId = id.parse()?;
        let permit = Arc::clone(&shared.spawns)
            .acquire_owned()
            .await
            .map_err(|_closed: AcquireError| LinkError::Gone)?;
        let (answer, answered) = oneshot::channel();
        let pending = Pending {
            answer,
            _permit: permit,
        };
        shared.expect(id.clone(), pending)?;
        let mut unsent = Unsent {
            shared,
            id: Some(&id),
        };
        let request = SpawnHost {
            id: id.to_string(),
            kind: i32::from(kind),
            args,
        };
        shared.send(RequestBody::SpawnHost(request)).await?;
        unsent.id = None;
        answered.await.map_err(|_gone| LinkError::Gone)?
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
        self.shared.gone.cancelled().await;
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
            None => std::future::pending().await,
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, body: RequestBody) -> Result<(), LinkError> {
        let frame = wire::encode(&Request { body: Some(body) })?;
        self.socket.send(&frame, &[]).await.map_err(|error| {
            tracing::debug!(%error, "sending to the supervisor");
            LinkError::Gone
        })
    }

    async fn acknowledge(&self, id: &HostId) -> Result<(), LinkError> {
        let id = id.to_string();
        self.send(RequestBody::AckExit(AckExit { id })).await
    }

    fn expect(&self, id: HostId, pending: Pending) -> Result<(), SpawnError> {
        let mut state = self.state();
        let state = state.as_mut().ok_or(LinkError::Gone)?;
        if state.pending.contains_key(&id) {
            return Err(SpawnError::Pending { id });
        }
        state.pending.insert(id, pending);
        Ok(())
    }

    async fn on_event(&self, event: EventBody) -> Result<(), LinkError> {
        match event {
            EventBody::Welcome(_) => Err(LinkError::Unexpected),
            EventBody::Spawned(Spawned { id, pid }) => {
                let id: HostId = id.parse().map_err(unexpected)?;
                if self.hand_over(id.clone(), pid) {
                    return Ok(());
                }
                tracing::debug!(host = %id, "killing a host that nobody waits for any more");
                let id = id.to_string();
                let signal = Signal::SIGKILL as i32;
                self.send(RequestBody::KillHost(KillHost { id, signal }))
                    .await
            }
            EventBody::SpawnFailed(SpawnFailed { id, errno, message }) => {
                let id: HostId = id.parse().map_err(unexpected)?;
                let pending = self.state().as_mut().and_then(|s| s.pending.remove(&id));
                if let Some(pending) = pending {
                    let refused = SpawnError::Refused { errno, message };
                    // The caller may have left; then there is nothing to clear up.
                    drop(pending.answer.send(Err(refused)));
                }
                Ok(())
            }
            EventBody::HostExited(exited) => {
                let (id, exit) = exited.to_exit().ok_or(LinkError::Unexpected)?;
                let watchers = self.state().as_mut().and_then(|s| s.living.remove(&id));
                if let Some(watchers) = watchers {
                    watchers.send_replace(Some(exit));
                }
                self.acknowledge(&id).await
            }
        }
    }

    /// Whether somebody took the host.
    fn hand_over(&self, id: HostId, pid: u32) -> bool {
        let mut state = self.state();
        let Some(state) = state.as_mut() else {
            return false;
        };
        let pending = state.pending.remove(&id);
        let child = state.adopt(&self.host_dir, id, pid);
        pending.is_some_and(|pending| pending.answer.send(Ok(child)).is_ok())
    }
}

impl State {
    fn adopt(&mut self, host_dir: &Path, id: HostId, pid: u32) -> HostChild {
        let (ended, exit) = watch::channel(None);
        self.living.insert(id.clone(), ended);
        HostChild {
            socket_path: socket_path(host_dir, &id),
            id,
            pid,
            exit,
        }
    }
}

/// Takes a request back that was never sent: one that was is taken out by its answer.
struct Unsent<'a> {
    shared: &'a Shared,
    id: Option<&'a HostId>,
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id
            && let Some(state) = self.shared.state().as_mut()
        {
            state.pending.remove(id);
        }
    }
}

async fn read(shared: Arc<Shared>) {
    let ended = loop {
        let event = match next_event(&shared.socket).await {
            Ok(event) => event,
            Err(ended) => break ended,
        };
        if let Err(ended) = shared.on_event(event).await {
            break ended;
        }
    };
    tracing::debug!(%ended, "the supervisor's connection ended");
    // Whoever waits for an answer or a place to ask learns that none will come.
    drop(shared.state().take());
    shared.spawns.close();
    shared.gone.cancel();
}

async fn next_event(socket: &AsyncSeq) -> Result<EventBody, LinkError> {
    let frame = socket.recv().await.map_err(|error| {
        tracing::debug!(%error, "receiving from the supervisor");
        LinkError::Gone
    })?;
    let frame = frame.ok_or(LinkError::Gone)?;
    let event: Event = wire::decode(&frame.bytes)?;
    event.body.ok_or(LinkError::Unexpected)
}

struct Told {
    epoch: u64,
    hosts: Vec<(HostId, u32, HostKind)>,
    exits: Vec<(HostId, HostExit)>,
}

async fn greet(socket: &AsyncSeq) -> Result<(Told, PathBuf), LinkError> {
    let hello = RequestBody::Hello(Hello {
        protocol_version: PROTOCOL_VERSION,
    });
    let frame = wire::encode(&Request { body: Some(hello) })?;
    socket
        .send(&frame, &[])
        .await
        .map_err(LinkError::NoSocket)?;
    let mut told = Told {
        epoch: 0,
        hosts: Vec::new(),
        exits: Vec::new(),
    };
    for _ in 0..MAX_WELCOMES {
        let EventBody::Welcome(welcome) = next_event(socket).await? else {
            return Err(LinkError::Unexpected);
        };
        if welcome.protocol_version != PROTOCOL_VERSION {
            return Err(LinkError::Unexpected);
        }
        told.epoch = welcome.epoch;
        for host in welcome.hosts {
            let kind = HostKind::try_from(host.kind).map_err(unexpected)?;
            let id = host.id.parse().map_err(unexpected)?;
            told.hosts.push((id, host.pid, kind));
        }
        for exit in &welcome.exits {
            let exit = HostExited::to_exit(exit).ok_or(LinkError::Unexpected)?;
            told.exits.push(exit);
        }
        if !welcome.more {
            let host_dir = PathBuf::from(OsStr::from_bytes(&welcome.host_dir));
            return Ok((told, host_dir));
        }
    }
    Err(LinkError::Unexpected)
}

/// What the supervisor validated before it sent it.
fn unexpected<E: std::error::Error>(error: E) -> LinkError {
    tracing::error!(%error, "the supervisor sends nonsense");
    LinkError::Unexpected
}
