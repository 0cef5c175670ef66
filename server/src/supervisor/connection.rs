//! The supervisor's end of its socket to one daemon.
//!
//! It never waits: what the daemon does not take yet is kept, and requests are read on regardless, so neither side can block the other. What is kept
//! is bounded by the slots of hosts (exits, the welcome) and by [`MAX_PENDING_SPAWNS`] (answers).
//!
//! **Invariant:** a request that is returned is well-formed and in its place: `Hello` first and once.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use stagepages_host::wire::{self, SeqSocket};

use super::activation::Sockets;
use super::proto::{
    Adopted, Event, EventBody, Hello, HostExited, LivingHost, MAX_PENDING_SPAWNS, PROTOCOL_VERSION,
    Request, RequestBody, Retire, SpawnFailed, Spawned, Welcome,
};

/// Hosts, and exits, in one `Welcome`; so many fit a frame.
const WELCOME_CHUNK: usize = 200;

/// The socket and what waits for it.
#[derive(Debug)]
pub(super) struct Connection {
    socket: SeqSocket,
    /// Go with the first frame of the welcome.
    sockets: Sockets,
    greeted: bool,
    outgoing: VecDeque<Outgoing>,
}

/// A frame that the daemon did not take yet.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) bytes: Vec<u8>,
    pub(super) is_answer: bool,
    /// Whether the sockets of a service manager go with it.
    pub(super) with_sockets: bool,
}

/// What a daemon asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) body: RequestBody,
    /// Of [`RequestBody::AdoptHost`], and of nothing else.
    pub(super) pidfd: Option<OwnedFd>,
}

/// Why a daemon is not talked to any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// It closed its end.
    #[error("the daemon closed its socket")]
    Closed,
    /// The socket failed.
    #[error("the daemon's socket failed")]
    Socket(#[from] io::Error),
    /// Not a request.
    #[error("the daemon sent a malformed request")]
    Malformed(#[from] wire::CodecError),
    /// A request that says nothing, or comes with other descriptors than it should.
    #[error(
        "the daemon sent an empty request, or one with {fds} descriptors, which only one for adoption has, and one"
    )]
    Empty {
        /// How many came.
        fds: usize,
    },
    /// Anything before `Hello`, or a second one.
    #[error("the daemon must send one hello, and that first")]
    OutOfPlace,
    /// Another build.
    #[error(
        "the daemon speaks version {theirs} of the protocol, not {PROTOCOL_VERSION}: restart the supervisor with the new binary"
    )]
    Version {
        /// Its version.
        theirs: u32,
    },
    /// More answers wait than it may ask for.
    #[error("the daemon left {MAX_PENDING_SPAWNS} answers unread and asks on")]
    NotReading,
    /// A signal that is none.
    #[error("the daemon asked for signal {signal}, which does not exist")]
    BadSignal {
        /// Its number.
        signal: i32,
    },
}

impl Connection {
    pub(super) fn new(socket: SeqSocket, sockets: Sockets) -> Self {
        Self {
            socket,
            sockets,
            greeted: false,
            outgoing: VecDeque::new(),
        }
    }

    /// Goes on with a daemon that another process of this supervisor began with.
    pub(super) fn resume(
        socket: SeqSocket,
        sockets: Sockets,
        greeted: bool,
        outgoing: Vec<Outgoing>,
    ) -> Self {
        Self {
            socket,
            sockets,
            greeted,
            outgoing: outgoing.into(),
        }
    }

    /// What the daemon did not take yet, oldest first.
    pub(super) fn outgoing(&self) -> impl Iterator<Item = &Outgoing> {
        self.outgoing.iter()
    }

    /// Whether the daemon has said hello: only then it is told of exits one by one, those before are in its `Welcome`.
    pub(super) fn greeted(&self) -> bool {
        self.greeted
    }

    /// Whether [`Self::flush`] has something to do.
    pub(super) fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// The next request, or `None` for now.
    pub(super) fn next_request(&mut self) -> Result<Option<Asked>, Fault> {
        let mut frame = match self.socket.try_recv() {
            Ok(Some(frame)) => frame,
            Ok(None) => return Err(Fault::Closed),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let fds = frame.fds.len();
        let body = wire::decode::<Request>(&frame.bytes)?.body;
        let body = body.ok_or(Fault::Empty { fds })?;
        if fds != usize::from(matches!(body, RequestBody::AdoptHost(_))) {
            return Err(Fault::Empty { fds });
        }
        let pidfd = frame.fds.pop();
        if let RequestBody::Hello(Hello { protocol_version }) = &body
            && *protocol_version != PROTOCOL_VERSION
        {
            return Err(Fault::Version {
                theirs: *protocol_version,
            });
        }
        let is_hello = matches!(body, RequestBody::Hello(_));
        if is_hello == self.greeted {
            return Err(Fault::OutOfPlace);
        }
        self.greeted = true;
        Ok(Some(Asked { body, pidfd }))
    }

    /// What a dead daemon had asked for last. Of use is only what it told of itself; the rest is nobody's any more.
    pub(super) fn last_words(&mut self) -> impl Iterator<Item = RequestBody> {
        std::iter::from_fn(|| self.next_request().ok().flatten().map(|asked| asked.body))
    }

    /// Answers `Hello`.
    pub(super) fn welcome(
        &mut self,
        epoch: u64,
        host_dir: &[u8],
        hosts: &[LivingHost],
        exits: &[HostExited],
    ) -> Result<(), Fault> {
        let mut names: Vec<_> = self.sockets.names().map(|name| name.to_string()).collect();
        for mut welcome in welcomes(epoch, host_dir, hosts, exits) {
            // With the first.
            welcome.sockets = std::mem::take(&mut names);
            let with_sockets = !welcome.sockets.is_empty();
            self.queue(EventBody::Welcome(welcome), false)?;
            if let Some(frame) = self.outgoing.back_mut() {
                frame.with_sockets = with_sockets;
            }
        }
        self.flush()
    }

    /// Says that a host runs.
    pub(super) fn spawned(&mut self, id: String, pid: u32) -> Result<(), Fault> {
        self.answer(EventBody::Spawned(Spawned { id, pid }))
    }

    /// Says that a host was taken in.
    pub(super) fn adopted(&mut self, id: String, pid: u32) -> Result<(), Fault> {
        self.answer(EventBody::Adopted(Adopted { id, pid }))
    }

    /// Asks the daemon to make room for its successor.
    pub(super) fn retire(&mut self) -> Result<(), Fault> {
        self.queue(EventBody::Retire(Retire {}), false)?;
        self.flush()
    }

    /// Says that a host does not run.
    pub(super) fn spawn_failed(&mut self, failed: SpawnFailed) -> Result<(), Fault> {
        self.answer(EventBody::SpawnFailed(failed))
    }

    /// Says that a host is gone.
    pub(super) fn exited(&mut self, exit: HostExited) -> Result<(), Fault> {
        self.queue(EventBody::HostExited(exit), false)?;
        self.flush()
    }

    /// Sends what waits, as far as the daemon takes it now.
    pub(super) fn flush(&mut self) -> Result<(), Fault> {
        while let Some(next) = self.outgoing.front() {
            let fds: Vec<_> = if next.with_sockets {
                self.sockets.fds().collect()
            } else {
                Vec::new()
            };
            match self.socket.try_send(&next.bytes, &fds) {
                Ok(()) => self.outgoing.pop_front(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if is_death(&error) => {
                    // What it said before comes first, and then the end.
                    self.outgoing.clear();
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
        }
        Ok(())
    }

    fn answer(&mut self, body: EventBody) -> Result<(), Fault> {
        let waiting = self.outgoing.iter().filter(|frame| frame.is_answer).count();
        if waiting >= MAX_PENDING_SPAWNS {
            return Err(Fault::NotReading);
        }
        self.queue(body, true)?;
        self.flush()
    }

    fn queue(&mut self, body: EventBody, is_answer: bool) -> Result<(), Fault> {
        let bytes = wire::encode(&Event { body: Some(body) })?;
        self.outgoing.push_back(Outgoing {
            bytes,
            is_answer,
            with_sockets: false,
        });
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What a peer that closed answers to a frame.
fn is_death(error: &io::Error) -> bool {
    let kind = error.kind();
    matches!(
        kind,
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

fn welcomes(
    epoch: u64,
    host_dir: &[u8],
    hosts: &[LivingHost],
    exits: &[HostExited],
) -> Vec<Welcome> {
    let mut hosts = hosts.chunks(WELCOME_CHUNK);
    let mut exits = exits.chunks(WELCOME_CHUNK);
    let frames = hosts.len().max(exits.len()).max(1);
    (1..=frames)
        .map(|frame| Welcome {
            protocol_version: PROTOCOL_VERSION,
            epoch,
            host_dir: host_dir.to_vec(),
            hosts: hosts.next().unwrap_or_default().to_vec(),
            exits: exits.next().unwrap_or_default().to_vec(),
            more: frame < frames,
            sockets: Vec::new(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
