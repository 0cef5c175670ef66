//! One daemon's connection: who may speak, and passing on what it says.

use std::{
    collections::HashSet,
    fs::File,
    io::ErrorKind,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError},
    },
    thread,
    time::Duration,
};

use nix::unistd::Uid;

use super::{presence::Presence, pulse::Pulse};
use crate::{
    launch::{AbortReason, Reason, Refusal, StopFlag},
    protocol::{
        self, Abort, Command, EndStream, Farewell, Hello, MAX_FAREWELL, Message, Outcome, Ping,
        Pong, Remembered, Reply, Request, Response, Snapshot, Stage, Welcome,
    },
    wire::{self, SeqSocket},
};

/// How long an answer waits for a daemon to read those before it. The kernel keeps some; a daemon that is this late has stopped.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// Threads are many and do little.
const STACK: usize = 128 * 1024;

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

/// What the launch thread is asked.
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
}

/// What all connections of a host share.
#[derive(Debug, Clone)]
pub(super) struct Common {
    pub(super) jobs: SyncSender<Job>,
    pub(super) stop: StopFlag,
    pub(super) fence: Arc<Fence>,
    pub(super) presence: Arc<Presence>,
    pub(super) pulse: Arc<Pulse>,
}

/// A daemon's connection, to answer on.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    socket: Arc<SeqSocket>,
    /// Streams of which nothing more is applied. Their numbers are this connection's.
    stopped: Arc<Mutex<HashSet<u64>>>,
    /// Whence the contents of its requests are read. The launch thread's alone.
    staging: Arc<Mutex<Option<Arc<File>>>>,
    /// It knows how the launch ended.
    told_end: Arc<AtomicBool>,
    /// The daemon's, from its greeting on.
    epoch: Arc<AtomicU64>,
}

impl Connection {
    /// Serves `socket` on a thread of its own.
    pub(super) fn start(socket: SeqSocket, common: Common) {
        if let Err(error) = socket.set_send_timeout(ANSWER_PATIENCE) {
            tracing::warn!(%error, "answers wait for as long as the daemon likes");
        }
        let connection = Self {
            socket: Arc::new(socket),
            stopped: Arc::default(),
            staging: Arc::default(),
            told_end: Arc::default(),
            epoch: Arc::default(),
        };
        let serve = move || {
            let mut admitted = None;
            if let Err(error) = connection.serve(&common, &mut admitted) {
                tracing::warn!(%error, "closing a daemon's connection");
            }
            connection.close();
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
        } = common;
        let peer = self.socket.peer_cred()?;
        if peer.uid != Uid::effective().as_raw() && peer.uid != 0 {
            return Err(ConnectionError::Stranger(peer.uid));
        }
        // Streams with a request that found the queue full: nothing behind it may find room again.
        let mut skipped = HashSet::new();
        while let Some(frame) = self.socket.recv()? {
            let request: Request = wire::decode(&frame.bytes).map_err(std::io::Error::from)?;
            match (&request.command, *admitted) {
                (Some(Command::Hello(hello)), None) => {
                    check_version(hello)?;
                    if !fence.admit(hello.epoch) {
                        return Err(ConnectionError::Superseded(hello.epoch));
                    }
                    *admitted = Some(hello.epoch);
                    self.epoch.store(hello.epoch, Ordering::Release);
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
                Err(TrySendError::Full(Job::HungUp) | TrySendError::Disconnected(_)) => {
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
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
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
        if self.told_end.swap(true, Ordering::AcqRel) {
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

    /// Which daemon this is.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// From here on contents are read from `staging`.
    pub(super) fn use_staging(&self, staging: Option<File>) {
        *self.staging.lock().unwrap_or_else(PoisonError::into_inner) = staging.map(Arc::new);
    }

    /// Whence contents are read.
    pub(super) fn staging(&self) -> Option<Arc<File>> {
        self.staging
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Tells how far a running extent is; unless the daemon is behind with reading, then the next progress or the answer tells it.
    pub(super) fn progress(&self, snapshot: Snapshot) {
        let message = Some(Message::Progress(snapshot));
        let frame = wire::encode(&Reply { message }).map_err(std::io::Error::from);
        if let Err(error) = frame.and_then(|frame| self.socket.try_send(&frame, &[])) {
            tracing::debug!(%error, "progress is not told");
        }
    }

    /// Waits for the daemon to read, but not for ever (see [`Connection::start`]).
    fn send(&self, message: Message) {
        let message = Some(message);
        let frame = wire::encode(&Reply { message }).map_err(std::io::Error::from);
        match frame.and_then(|frame| self.socket.send(&frame, &[])) {
            Ok(()) => {}
            // It was killed, and calls of its are carried out still.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                ) =>
            {
                tracing::debug!(%error, "a daemon that is gone is not answered");
            }
            Err(error) => {
                tracing::warn!(%error, "a daemon does not read its answers; its connection is closed");
                self.close();
            }
        }
    }

    /// Hangs up.
    pub(super) fn close(&self) {
        if let Err(error) = self.socket.shutdown() {
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
