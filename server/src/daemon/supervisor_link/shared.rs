//! What the reader and the callers share: the socket, who waits for a host, and who watches one.
//!
//! **Invariant:** an entry is taken out by the supervisor's word, or by the link's end, and by nothing else once its request was sent.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::signal::Signal;
use stagepages_host::wire;
use tokio::runtime::Handle;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{HostChild, LinkError, LivingHost, SpawnError};
use crate::daemon::aio::AsyncSeq;
use crate::supervisor::proto::{
    AckExit, Adopted, Event, EventBody, KillHost, MAX_PENDING_SPAWNS, Request, RequestBody,
    SpawnFailed, Spawned,
};
use crate::supervisor::{HostExit, HostId, HostKind, socket_path};

#[derive(Debug)]
pub(super) struct Shared {
    socket: AsyncSeq,
    host_dir: PathBuf,
    gone: CancellationToken,
    retired: CancellationToken,
    spawns: Arc<Semaphore>,
    /// `None` once the supervisor is gone. A std mutex, because nothing awaits under it.
    state: Mutex<Option<State>>,
}

#[derive(Debug, Default)]
struct State {
    pending: HashMap<HostId, Pending>,
    living: HashMap<HostId, Watched>,
}

/// A host that lives.
#[derive(Debug)]
struct Watched {
    ended: watch::Sender<Option<HostExit>>,
    kind: HostKind,
}

#[derive(Debug)]
struct Pending {
    answer: oneshot::Sender<Result<HostChild, SpawnError>>,
    kind: HostKind,
    // Given back with the answer and not when the caller leaves, so that the supervisor's bound on answers holds.
    _permit: OwnedSemaphorePermit,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that a link starts with.
    pub(super) fn new(
        socket: AsyncSeq,
        host_dir: PathBuf,
        hosts: Vec<(HostId, u32, HostKind)>,
    ) -> (Self, Vec<LivingHost>) {
        let mut state = State::default();
        let watch = |(id, pid, kind)| {
            let child = state.watch(&host_dir, id, pid, kind);
            LivingHost { kind, child }
        };
        let hosts = hosts.into_iter().map(watch).collect();
        let shared = Self {
            socket,
            host_dir,
            gone: CancellationToken::new(),
            retired: CancellationToken::new(),
            spawns: Arc::new(Semaphore::new(MAX_PENDING_SPAWNS)),
            state: Mutex::new(Some(state)),
        };
        (shared, hosts)
    }

    /// Passes on what the supervisor says, until it is gone.
    pub(super) async fn read(self: Arc<Self>) {
        let ended = loop {
            let event = match next_event(&self.socket).await {
                Ok(event) => event,
                Err(ended) => break ended,
            };
            if let Err(ended) = self.on_event(event).await {
                break ended;
            }
        };
        tracing::debug!(%ended, "the supervisor's connection ended");
        // Whoever waits for an answer or a place to ask learns that none will come.
        drop(self.state().take());
        self.spawns.close();
        self.gone.cancel();
    }

    /// Waits until the supervisor is gone.
    pub(super) async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// Waits until this daemon is to make room for its successor.
    pub(super) async fn retired(&self) {
        self.retired.cancelled().await;
    }

    pub(super) fn host_dir(&self) -> &Path {
        &self.host_dir
    }

    pub(super) fn supervisor_pid(&self) -> i32 {
        self.socket.peer_cred().pid
    }

    /// Waits until one more host may be asked for.
    pub(super) async fn place(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        Arc::clone(&self.spawns).acquire_owned().await
    }

    pub(super) async fn send(&self, body: RequestBody) -> Result<(), LinkError> {
        self.send_with(body, &[]).await
    }

    pub(super) async fn send_with(
        &self,
        body: RequestBody,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), LinkError> {
        let frame = wire::encode(&Request { body: Some(body) })?;
        self.socket.send(&frame, fds).await.map_err(|error| {
            tracing::debug!(%error, "sending to the supervisor");
            LinkError::Gone
        })
    }

    pub(super) async fn acknowledge(&self, id: &HostId) -> Result<(), LinkError> {
        let id = id.to_string();
        self.send(RequestBody::AckExit(AckExit { id })).await
    }

    /// Where the answer to a request for this host will be.
    pub(super) fn expect(
        self: &Arc<Self>,
        id: HostId,
        kind: HostKind,
        left: Left,
        permit: OwnedSemaphorePermit,
    ) -> Result<Answer, SpawnError> {
        let mut state = self.state();
        let state = state.as_mut().ok_or(LinkError::Gone)?;
        if state.pending.contains_key(&id) {
            return Err(SpawnError::Pending { id });
        }
        let (answer, answered) = oneshot::channel();
        let pending = Pending {
            answer,
            kind,
            _permit: permit,
        };
        state.pending.insert(id.clone(), pending);
        Ok(Answer {
            shared: Arc::clone(self),
            unsent: Some(id),
            left,
            answered,
        })
    }

    /// Ends a host that nobody waits for any more.
    async fn abandon(&self, id: &HostId) -> Result<(), LinkError> {
        tracing::debug!(host = %id, "killing a host that nobody waits for any more");
        let id = id.to_string();
        let signal = Signal::SIGKILL as i32;
        self.send(RequestBody::KillHost(KillHost { id, signal }))
            .await
    }

    async fn on_event(&self, event: EventBody) -> Result<(), LinkError> {
        match event {
            EventBody::Welcome(_) => Err(LinkError::Unexpected),
            EventBody::Spawned(Spawned { id, pid }) => {
                let id: HostId = id.parse().map_err(unexpected)?;
                if self.hand_over(id.clone(), pid) {
                    return Ok(());
                }
                self.abandon(&id).await
            }
            EventBody::Adopted(Adopted { id, pid }) => {
                let id: HostId = id.parse().map_err(unexpected)?;
                if !self.hand_over(id.clone(), pid) {
                    tracing::debug!(host = %id, "adopted, and nobody waits for it any more");
                }
                Ok(())
            }
            EventBody::Retire(_) => {
                self.retired.cancel();
                Ok(())
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
                let watched = self.state().as_mut().and_then(|s| s.living.remove(&id));
                let recorded = watched.is_some_and(|watched| watched.tell(exit));
                if recorded {
                    return Ok(());
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
        let kind = pending.as_ref().map_or(HostKind::Probe, |p| p.kind);
        let child = state.watch(&self.host_dir, id, pid, kind);
        pending.is_some_and(|pending| pending.answer.send(Ok(child)).is_ok())
    }
}

impl State {
    fn watch(&mut self, host_dir: &Path, id: HostId, pid: u32, kind: HostKind) -> HostChild {
        let (ended, exit) = watch::channel(None);
        self.living.insert(id.clone(), Watched { ended, kind });
        HostChild {
            socket_path: socket_path(host_dir, &id),
            id,
            pid,
            exit,
        }
    }
}

impl Watched {
    /// Whether somebody learns of the exit who has it to record, and then to acknowledge.
    fn tell(self, exit: HostExit) -> bool {
        let somebody = self.ended.send(Some(exit)).is_ok();
        somebody && self.kind != HostKind::Probe
    }
}

/// What becomes of a host that nobody waits for any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It was started for the caller alone.
    Killed,
    /// It was there before the caller.
    Alive,
}

/// The answer to one request for a host. Dropped, it takes the request back if it was never sent, and else the host if that was started for it.
pub(super) struct Answer {
    shared: Arc<Shared>,
    left: Left,
    /// The request's entry, as long as no answer will take it out.
    unsent: Option<HostId>,
    answered: oneshot::Receiver<Result<HostChild, SpawnError>>,
}

impl Answer {
    /// The request is on its way: waits for what comes of it.
    pub(super) async fn sent(&mut self) -> Result<HostChild, SpawnError> {
        self.unsent = None;
        let answered = (&mut self.answered).await;
        answered.map_err(|_gone| LinkError::Gone)?
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(id) = &self.unsent
            && let Some(state) = self.shared.state().as_mut()
        {
            state.pending.remove(id);
        }
        // From here on the reader finds nobody waiting. It may have put a host here just before.
        self.answered.close();
        if let Ok(Ok(child)) = self.answered.try_recv()
            && self.left == Left::Killed
            && let Ok(runtime) = Handle::try_current()
        {
            let shared = Arc::clone(&self.shared);
            runtime.spawn(async move { shared.abandon(&child.id).await });
        }
    }
}

/// The next thing that the supervisor says.
pub(super) async fn next_event(socket: &AsyncSeq) -> Result<EventBody, LinkError> {
    next_frame(socket).await.map(|(event, _fds)| event)
}

/// The same, with the descriptors that came with it.
pub(super) async fn next_frame(socket: &AsyncSeq) -> Result<(EventBody, Vec<OwnedFd>), LinkError> {
    let frame = socket.recv().await.map_err(|error| {
        tracing::debug!(%error, "receiving from the supervisor");
        LinkError::Gone
    })?;
    let frame = frame.ok_or(LinkError::Gone)?;
    let event: Event = wire::decode(&frame.bytes)?;
    let body = event.body.ok_or(LinkError::Unexpected)?;
    Ok((body, frame.fds))
}

/// What the supervisor validated before it sent it.
pub(super) fn unexpected<E: std::error::Error>(error: E) -> LinkError {
    tracing::error!(%error, "the supervisor sends nonsense");
    LinkError::Unexpected
}
