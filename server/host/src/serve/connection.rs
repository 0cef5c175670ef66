//! One daemon's connection, to answer on.
//!
//! **Invariant:** a daemon that does not read loses its connection; nobody waits for it for ever.

use std::{
    collections::HashSet,
    fs::File,
    io::ErrorKind,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::SyncSender,
    },
    time::Duration,
};

use super::{intake::Job, staging::Staging};
use crate::{
    launch::{AbortReason, Reason, Refusal},
    protocol::{
        self, Abort, Farewell, Hello, MAX_FAREWELL, Message, Outcome, Remembered, Reply, Response,
        Snapshot, Welcome,
    },
    wire::{self, SeqSocket},
};

/// How long an answer waits for a daemon to read those before it. The kernel keeps some; a daemon that is this late has stopped.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// Threads are many and do little.
pub(super) const STACK: usize = 128 * 1024;

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
    staging: Mutex<Option<Arc<Staging>>>,
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
    /// The connection of this name, on which nothing was said yet.
    pub(super) fn new(name: u64, socket: SeqSocket, jobs: SyncSender<Job>) -> Self {
        if let Err(error) = socket.set_send_timeout(ANSWER_PATIENCE) {
            tracing::warn!(%error, "answers wait for as long as the daemon likes");
        }
        Self(Arc::new(Inner {
            name,
            socket,
            jobs,
            stopped: Mutex::default(),
            staging: Mutex::default(),
            told_end: AtomicBool::default(),
            listens: AtomicBool::default(),
            closed: AtomicBool::default(),
            epoch: AtomicU64::default(),
        }))
    }

    /// Applies nothing more of this stream.
    pub(super) fn stop(&self, stream: u64) {
        self.stopped().insert(stream);
    }

    /// Whether nothing more of this stream is applied.
    pub(super) fn has_stopped(&self, stream: u64) -> bool {
        self.stopped().contains(&stream)
    }

    /// All requests of this stream are answered.
    pub(super) fn forget_stream(&self, stream: u64) {
        self.stopped().remove(&stream);
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

    /// It is the daemon with this epoch.
    pub(super) fn set_epoch(&self, epoch: u64) {
        self.0.epoch.store(epoch, Ordering::Release);
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
            .unwrap_or_else(PoisonError::into_inner) = staging.map(Staging::new).map(Arc::new);
    }

    /// Whence contents are read.
    pub(super) fn staging(&self) -> Option<Arc<Staging>> {
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
        match frame.and_then(|frame| self.0.socket.send(&frame, &[])) {
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
