//! What daemons say: who may speak, and passing it on to the launch thread.
//!
//! **Invariant:** nothing waits here but for the daemon itself: what finds the queue full is refused.

use std::{
    collections::HashSet,
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{SyncSender, TrySendError},
    },
    thread,
    time::Instant,
};

use nix::unistd::Uid;

use super::{
    QUEUE,
    allowance::Allowance,
    connection::{Connection, STACK, abort_reason, not_applied},
    presence::Presence,
    pulse::Pulse,
};
use crate::{
    console::Console,
    guest::GuestStop,
    launch::{Reason, Refusal, StopFlag},
    protocol::{
        self, Command, ConsoleInput, EndStream, Hello, Meter, Outcome, Ping, Pong, Request, Stage,
    },
    wire::{self, SeqSocket},
};

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
    reason = "nearly all are requests, and the queue is short"
)]
#[derive(Debug)]
pub(super) enum Job {
    /// A request, the descriptors that came with it, where to answer, and when it came.
    Request(Request, Vec<File>, Connection, Instant),
    /// A daemon hung up.
    HungUp,
    /// The guest has stopped, and has told everything.
    Stopped(GuestStop),
}

/// What all connections of a host share.
#[derive(Debug, Clone)]
pub(super) struct Common {
    pub(super) jobs: SyncSender<Job>,
    /// Requests in the queue.
    pub(super) waiting: Arc<AtomicUsize>,
    pub(super) stop: StopFlag,
    pub(super) fence: Arc<Fence>,
    pub(super) presence: Arc<Presence>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) allowance: Arc<Allowance>,
    pub(super) console: Arc<Console>,
    /// Names for connections.
    pub(super) names: Arc<AtomicU64>,
}

impl Connection {
    /// Serves `socket` on a thread of its own.
    pub(super) fn start(socket: SeqSocket, common: Common) {
        let name = common.names.fetch_add(1, Ordering::Relaxed);
        let connection = Self::new(name, socket, common.jobs.clone());
        let serve = move || {
            let mut admitted = None;
            if let Err(error) = connection.serve(&common, &mut admitted) {
                tracing::warn!(%error, "closing a daemon's connection");
            }
            connection.close();
            common.allowance.release(connection.name());
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
            waiting,
            stop,
            fence,
            presence,
            pulse,
            allowance,
            console,
            names: _,
        } = common;
        let peer = self.socket().peer_cred()?;
        if peer.uid != Uid::effective().as_raw() && peer.uid != 0 {
            return Err(ConnectionError::Stranger(peer.uid));
        }
        // Streams with a request that found the queue full: nothing behind it may find room again.
        let mut skipped = HashSet::new();
        while let Some(frame) = self.socket().recv()? {
            let request: Request = wire::decode(&frame.bytes).map_err(std::io::Error::from)?;
            match (&request.command, *admitted) {
                (Some(Command::Hello(hello)), None) => {
                    check_version(hello)?;
                    if !fence.admit(hello.epoch) {
                        return Err(ConnectionError::Superseded(hello.epoch));
                    }
                    *admitted = Some(hello.epoch);
                    self.set_epoch(hello.epoch);
                    // Its predecessor's, if that is still there, is obeyed no more.
                    allowance.reset();
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
                    // Of a guest that does not read, with a daemon that has lost count: nothing to hang up for.
                    if let Err(error) = console.offer(self.name(), data) {
                        tracing::warn!(%error, "console input is dropped");
                    }
                    continue;
                }
                (Some(Command::Meter(Meter { up_to_pages })), Some(_)) => {
                    // The launch thread may be waiting for it.
                    allowance.give(self.name(), *up_to_pages);
                    continue;
                }
                (Some(Command::Abort(abort)), Some(_)) => {
                    stop.set(abort_reason(abort));
                    allowance.wake();
                }
                (Some(Command::EndStream(EndStream { stream })), Some(_)) => {
                    // All its requests are answered; needs no turn of the launch thread.
                    skipped.remove(stream);
                    self.forget_stream(*stream);
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
            // What a daemon begins and ends with has room of its own.
            let first_and_last = matches!(
                request.command,
                Some(Command::Hello(_) | Command::Staging(_) | Command::Bye(_))
            );
            let job = Job::Request(request, files, self.clone(), Instant::now());
            // Counted before it is there to be taken out.
            let before = waiting.fetch_add(1, Ordering::AcqRel);
            let sent = if first_and_last || before < QUEUE {
                jobs.try_send(job)
            } else {
                Err(TrySendError::Full(job))
            };
            if sent.is_err() {
                waiting.fetch_sub(1, Ordering::AcqRel);
            }
            match sent {
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
