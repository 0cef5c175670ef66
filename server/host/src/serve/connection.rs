//! One daemon's connection: who may speak, and passing on what it says.

use std::{
    collections::HashSet,
    fs::File,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError},
    },
    thread,
    time::Duration,
};

use nix::unistd::Uid;

use super::{presence::Presence, pulse::Pulse};
use crate::{
    console::{Console, Overdrawn},
    guest::GuestStop,
    launch::{AbortReason, Reason, Refusal, StopFlag},
    protocol::{
        self, Abort, Command, ConsoleInput, EndStream, Farewell, Hello, MAX_FAREWELL, Message,
        Outcome, Ping, Pong, Remembered, Reply, Request, Response, Snapshot, Stage, Welcome,
    },
    wire::{self, SeqSocket},
};

/// How long an answer waits for a daemon to read those before it. The kernel keeps some; a daemon that is this late has stopped.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// Threads are many and do little.
pub(super) const STACK: usize = 128 * 1024;

/// The highest epoch that any daemon came with. An older daemon is not obeyed.
#[derive(Debug, Default)]
pub(super) struct Fence(AtomicU64);

impl Fence {
    /// Admits `epoch` if no higher one was seen.
    fn admit(&self, epoch: u64) -> bool {
        self.0.fetch_max(epoch, Ordering::AcqRel) <= epoch
    }

    fn admits_still(&self, epoch: u64) -> bool {
        self.0.load(Ordering::Acquire) == epoch
    }
}

/// What the launch thread is asked, or told.
#[expect(
    clippy::large_enum_variant,
    reason = "the queue has room for 64 and holds none for long"
)]
#[derive(Debug)]
pub(super) enum Job {
    /// A request, the descriptors that came with it, and where to answer.
    Request(Request, Vec<File>, Connection),
    /// A daemon hung up.
    HungUp,
    /// The guest has stopped, and has told everything.
    Stopped(GuestStop),
}

/// What all connections of a host share.
#[derive(Debug, Clone)]
pub(super) struct Common {
    pub(super) jobs: SyncSender<Job>,
    pub(super) stop: StopFlag,
    pub(super) fence: Arc<Fence>,
    pub(super) presence: Arc<Presence>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) console: Arc<Console>,
    /// Names for connections.
    pub(super) names: Arc<AtomicU64>,
}

/// A daemon's connection, to answer on.
#[derive(Debug, Clone)]
pub(super) struct Connection(Arc<Inner>);

/// A connection that need not be there any more.
#[derive(Debug, Clone)]
pub(super) struct WeakConnection(Weak<Inner>);

#[derive(Debug)]
struct Inner {
    name: u64,
    socket: SeqSocket,
    jobs: SyncSender<Job>,
    /// Streams of which nothing more is applied. Their numbers are this connection's.
    stopped: Mutex<HashSet<u64>>,
    /// Whence the contents of its requests are read. The launch thread's alone.
    staging: Mutex<Option<Arc<File>>>,
    /// It knows how the launch ended.
    told_end: AtomicBool,
    /// It listens to the console.
    listens: AtomicBool,
    /// Nothing more is sent.
    closed: AtomicBool,
    /// The daemon's, from its greeting on.
    epoch: AtomicU64,
}

impl WeakConnection {
    /// The connection, if it is still there.
    pub(super) fn get(&self) -> Option<Connection> {
        self.0.upgrade().map(Connection)
    }
}

impl Connection {
    /// Serves `socket` on a thread of its own.
    pub(super) fn start(socket: SeqSocket, common: Common) {
        if let Err(error) = socket.set_send_timeout(ANSWER_PATIENCE) {
            tracing::warn!(%error, "answers wait for as long as the daemon likes");
        }
        let connection = Self(Arc::new(Inner {
            name: common.names.fetch_add(1, Ordering::Relaxed),
            socket,
            jobs: common.jobs.clone(),
            stopped: Mutex::default(),
            staging: Mutex::default(),
            told_end: AtomicBool::default(),
            listens: AtomicBool::default(),
            closed: AtomicBool::default(),
            epoch: AtomicU64::default(),
        }));
        let serve = move || {
            let mut admitted = None;
            if let Err(error) = connection.serve(&common, &mut admitted) {
                tracing::warn!(%error, "closing a daemon's connection");
            }
            connection.close();
            common.console.forget(connection.name());
            if admitted.is_some() {
                common.presence.gone();
                // The launch thread may be gone already; then the process is on its way out.
                drop(common.jobs.send(Job::HungUp));
            }
        };
        if let Err(error) = thread::Builder::new()
            .name("connection".to_owned())
            .stack_size(STACK)
            .spawn(serve)
        {
            tracing::error!(%error, "a daemon's connection cannot be served");
        }
    }

    /// Passes on what the daemon says until it hangs up; `admitted` is its epoch from its greeting on.
    fn serve(&self, common: &Common, admitted: &mut Option<u64>) -> Result<(), ConnectionError> {
        let Common {
            jobs,
            stop,
            fence,
            presence,
            pulse,
            console,
            names: _,
        } = common;
        let peer = self.0.socket.peer_cred()?;
        if peer.uid != Uid::effective().as_raw() && peer.uid != 0 {
            return Err(ConnectionError::Stranger(peer.uid));
        }
        // Streams with a request that found the queue full: nothing behind it may find room again.
        let mut skipped = HashSet::new();
        while let Some(frame) = self.0.socket.recv()? {
            let request: Request = wire::decode(&frame.bytes).map_err(std::io::Error::from)?;
            match (&request.command, *admitted) {
                (Some(Command::Hello(hello)), None) => {
                    check_version(hello)?;
                    if !fence.admit(hello.epoch) {
                        return Err(ConnectionError::Superseded(hello.epoch));
                    }
                    *admitted = Some(hello.epoch);
                    self.0.epoch.store(hello.epoch, Ordering::Release);
                    presence.came();
                }
                (Some(Command::Hello(_)) | None, _) | (Some(_), None) => {
                    return Err(ConnectionError::OutOfPlace);
                }
                (Some(_), Some(epoch)) if !fence.admits_still(epoch) => {
                    return Err(ConnectionError::Superseded(epoch));
                }
                (Some(Command::Ping(Ping {})), Some(_)) => {
                    let silent_millis = pulse.silence();
                    self.answer(request.id, None, Outcome::Pong(Pong { silent_millis }));
                    continue;
                }
                (Some(Command::ConsoleInput(ConsoleInput { data })), Some(_)) => {
                    console.offer(self.name(), data)?;
                    continue;
                }
                (Some(Command::Abort(abort)), Some(_)) => stop.set(abort_reason(abort)),
                (Some(Command::EndStream(EndStream { stream })), Some(_)) => {
                    // All its requests are answered; needs no turn of the launch thread.
                    skipped.remove(stream);
                    self.stopped().remove(stream);
                    continue;
                }
                (Some(Command::Stage(Stage { stream, .. })), Some(_))
                    if skipped.contains(stream) =>
                {
                    self.answer(request.id, None, Outcome::Refused((&not_applied()).into()));
                    continue;
                }
                (Some(_), Some(_)) => {}
            }
            let files = frame.fds.into_iter().map(File::from).collect();
            match jobs.try_send(Job::Request(request, files, self.clone())) {
                Ok(()) => {}
                // The flag is set, and the launch thread looks at it behind every job.
                Err(TrySendError::Full(Job::Request(
                    Request {
                        command: Some(Command::Abort(_)),
                        ..
                    },
                    ..,
                ))) => {}
                Err(TrySendError::Full(Job::Request(request, ..))) => {
                    if let Some(Command::Stage(Stage {
                        stream: stream @ 1..,
                        ..
                    })) = request.command
                    {
                        skipped.insert(stream);
                    }
                    let refusal = Refusal::new(
                        Reason::QueueFull,
                        "too many requests wait for this launch host",
                    );
                    self.answer(request.id, None, Outcome::Refused((&refusal).into()));
                }
                Err(
                    TrySendError::Full(Job::HungUp | Job::Stopped(_))
                    | TrySendError::Disconnected(_),
                ) => {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Applies nothing more of this stream.
    pub(super) fn stop(&self, stream: u64) {
        self.stopped().insert(stream);
    }

    /// Whether nothing more of this stream is applied.
    pub(super) fn has_stopped(&self, stream: u64) -> bool {
        self.stopped().contains(&stream)
    }

    fn stopped(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.0
            .stopped
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one request. A daemon that does not read loses its connection.
    pub(super) fn answer(&self, id: u64, snapshot: Option<Snapshot>, outcome: Outcome) {
        self.send(Message::Response(Response {
            id,
            snapshot,
            outcome: Some(outcome),
        }));
    }

    /// Tells how the launch is, unasked; it arrives.
    pub(super) fn tell(&self, snapshot: Snapshot) {
        self.send(Message::Progress(snapshot));
    }

    /// Hands over what an ended launch remembers, once.
    pub(super) fn farewell(&self, answers: impl Iterator<Item = Remembered>) {
        if self.0.told_end.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut answers = answers.peekable();
        loop {
            let part: Vec<_> = answers.by_ref().take(MAX_FAREWELL).collect();
            let last = answers.peek().is_none();
            self.send(Message::Farewell(Farewell {
                answers: part,
                last,
            }));
            if last {
                return;
            }
        }
    }

    /// What this connection, and no other of the host, is called.
    pub(super) fn name(&self) -> u64 {
        self.0.name
    }

    /// To remember it by, without keeping it.
    pub(super) fn downgrade(&self) -> WeakConnection {
        WeakConnection(Arc::downgrade(&self.0))
    }

    /// Where to tell the launch thread something.
    pub(super) fn jobs(&self) -> SyncSender<Job> {
        self.0.jobs.clone()
    }

    /// Takes the place of this connection's listener; `false` if it has one.
    pub(super) fn begin_listening(&self) -> bool {
        !self.0.listens.swap(true, Ordering::AcqRel)
    }

    /// Whether nothing more is sent.
    pub(super) fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    /// The socket, to wait for.
    pub(super) fn socket(&self) -> &SeqSocket {
        &self.0.socket
    }

    /// Which daemon this is.
    pub(super) fn epoch(&self) -> u64 {
        self.0.epoch.load(Ordering::Acquire)
    }

    /// From here on contents are read from `staging`.
    pub(super) fn use_staging(&self, staging: Option<File>) {
        *self
            .0
            .staging
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = staging.map(Arc::new);
    }

    /// Whence contents are read.
    pub(super) fn staging(&self) -> Option<Arc<File>> {
        self.0
            .staging
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Tells how far a running extent is; unless the daemon is behind with reading, then the next progress or the answer tells it.
    pub(super) fn progress(&self, snapshot: Snapshot) {
        if let Err(error) = self.try_send(Message::Progress(snapshot)) {
            tracing::debug!(%error, "progress is not told");
        }
    }

    /// Passes on what the guest wrote, and waits for the daemon to read. For a guest that has stopped.
    pub(super) fn console(&self, console: protocol::Console) {
        self.send(Message::Console(console));
    }

    /// Sends a message without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when the daemon leaves too much unread.
    pub(super) fn try_send(&self, message: Message) -> std::io::Result<()> {
        let message = Some(message);
        let frame = wire::encode(&Reply { message })?;
        self.0.socket.try_send(&frame, &[])
    }

    /// Waits for the daemon to read, but not for ever (see [`Connection::start`]).
    fn send(&self, message: Message) {
        let message = Some(message);
        let frame = wire::encode(&Reply { message }).map_err(std::io::Error::from);
        if let Err(error) = frame.and_then(|frame| self.0.socket.send(&frame, &[])) {
            tracing::warn!(%error, "a daemon does not read its answers; its connection is closed");
            self.close();
        }
    }

    /// Hangs up.
    pub(super) fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        if let Err(error) = self.0.socket.shutdown() {
            tracing::debug!(%error, "shutting a connection down");
        }
    }
}

/// Why an abort is asked for.
pub(super) fn abort_reason(abort: &Abort) -> AbortReason {
    if abort.lease_expired {
        AbortReason::LeaseExpired
    } else {
        AbortReason::Requested
    }
}

/// The answer to a `Hello` that was admitted.
pub(super) fn welcome(hello: &Hello, record: Vec<u8>) -> Outcome {
    Outcome::Welcome(Welcome {
        version: hello.version.min(protocol::VERSION),
        record,
    })
}

/// The answer behind a stop.
pub(super) fn not_applied() -> Refusal {
    let text = "an earlier request of this stream stopped short; nothing behind it is applied, send this again";
    Refusal::new(Reason::NotApplied, text)
}

fn check_version(hello: &Hello) -> Result<(), ConnectionError> {
    // A newer daemon speaks the older version that the answer names, or hangs up.
    if hello.version < protocol::OLDEST_VERSION {
        return Err(ConnectionError::Version(hello.version));
    }
    Ok(())
}

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error("the peer runs as uid {0}, which is neither this host's nor root")]
    Stranger(u32),
    #[error("the daemon speaks version {0} of the protocol, older than any that this host accepts")]
    Version(u32),
    #[error("epoch {0} is not the newest daemon's")]
    Superseded(u64),
    #[error("a message that does not belong here")]
    OutOfPlace,
    #[error(transparent)]
    Overdrawn(#[from] Overdrawn),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_daemon_is_fenced_off_by_a_newer_one() {
        let fence = Fence::default();
        assert!(fence.admit(3));
        assert!(fence.admit(3));
        assert!(fence.admits_still(3));
        assert!(fence.admit(4));
        assert!(!fence.admits_still(3));
        assert!(!fence.admit(3));
    }
}
