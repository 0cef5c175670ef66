//! The supervisor's end of its socket to one daemon.
//!
//! It never waits: what the daemon does not take yet is kept, and requests are read on regardless, so neither side can block the other. What is kept
//! is bounded by the slots of hosts (exits, the welcome) and by [`MAX_PENDING_SPAWNS`] (answers).
//!
//! **Invariant:** a request that is returned is well-formed and in its place: `Hello` first and once.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use stagepages_host::wire::{self, SeqSocket};

use super::proto::{
    Event, EventBody, Hello, HostExited, LivingHost, MAX_PENDING_SPAWNS, PROTOCOL_VERSION, Request,
    RequestBody, SpawnFailed, Spawned, Welcome,
};

/// Hosts, and exits, in one `Welcome`; so many fit a frame.
const WELCOME_CHUNK: usize = 200;

/// The socket and what waits for it.
#[derive(Debug)]
pub(super) struct Connection {
    socket: SeqSocket,
    greeted: bool,
    outgoing: VecDeque<Outgoing>,
}

#[derive(Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    is_answer: bool,
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
    /// A request that says nothing, or comes with descriptors.
    #[error("the daemon sent an empty request or {fds} descriptors")]
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
    pub(super) fn new(socket: SeqSocket) -> Self {
        Self {
            socket,
            greeted: false,
            outgoing: VecDeque::new(),
        }
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
    pub(super) fn next_request(&mut self) -> Result<Option<RequestBody>, Fault> {
        let frame = match self.socket.try_recv() {
            Ok(Some(frame)) => frame,
            Ok(None) => return Err(Fault::Closed),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let body = match wire::decode::<Request>(&frame.bytes)?.body {
            Some(body) if frame.fds.is_empty() => body,
            Some(_) | None => {
                return Err(Fault::Empty {
                    fds: frame.fds.len(),
                });
            }
        };
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
        Ok(Some(body))
    }

    /// Whether a dead daemon's last requests say that it served. Its others are nobody's any more.
    pub(super) fn says_ready(&mut self) -> bool {
        while let Ok(Some(request)) = self.next_request() {
            if matches!(request, RequestBody::Ready(_)) {
                return true;
            }
        }
        false
    }

    /// Answers `Hello`.
    pub(super) fn welcome(
        &mut self,
        epoch: u64,
        host_dir: &[u8],
        hosts: &[LivingHost],
        exits: &[HostExited],
    ) -> Result<(), Fault> {
        for welcome in welcomes(epoch, host_dir, hosts, exits) {
            self.queue(EventBody::Welcome(welcome), false)?;
        }
        self.flush()
    }

    /// Says that a host runs.
    pub(super) fn spawned(&mut self, id: String, pid: u32) -> Result<(), Fault> {
        self.answer(EventBody::Spawned(Spawned { id, pid }))
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
            match self.socket.try_send(&next.bytes, &[]) {
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
        self.outgoing.push_back(Outgoing { bytes, is_answer });
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
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::proto::{HostKind, KillHost, Ready};
    use super::*;

    fn pair() -> (Connection, SeqSocket) {
        let (ours, theirs) = SeqSocket::pair().unwrap();
        (Connection::new(ours), theirs)
    }

    fn send(socket: &SeqSocket, body: RequestBody) {
        let request = Request { body: Some(body) };
        socket.send(&wire::encode(&request).unwrap(), &[]).unwrap();
    }

    fn hello(protocol_version: u32) -> RequestBody {
        RequestBody::Hello(Hello { protocol_version })
    }

    #[test]
    fn hello_comes_first_and_once() {
        let (mut connection, daemon) = pair();
        assert!(connection.next_request().unwrap().is_none());
        send(&daemon, hello(PROTOCOL_VERSION));
        assert!(!connection.greeted());
        assert!(connection.next_request().unwrap().is_some());
        assert!(connection.greeted());
        send(&daemon, RequestBody::Ready(Ready {}));
        assert!(connection.next_request().unwrap().is_some());
        send(&daemon, hello(PROTOCOL_VERSION));
        let fault = connection.next_request().unwrap_err();
        assert!(matches!(fault, Fault::OutOfPlace));

        let (mut connection, daemon) = pair();
        send(&daemon, RequestBody::Ready(Ready {}));
        let fault = connection.next_request().unwrap_err();
        assert!(matches!(fault, Fault::OutOfPlace));
    }

    #[test]
    fn what_is_no_request_is_a_fault() {
        let (mut connection, daemon) = pair();
        daemon.send(&[0xff; 9], &[]).unwrap();
        let fault = connection.next_request().unwrap_err();
        assert!(matches!(fault, Fault::Malformed(_)));

        // An unknown field alone: protobuf, but no body.
        daemon.send(&[0xf8, 0x7f, 0x01], &[]).unwrap();
        let fault = connection.next_request().unwrap_err();
        assert!(matches!(fault, Fault::Empty { fds: 0 }));

        let request = Request {
            body: Some(hello(PROTOCOL_VERSION)),
        };
        let bytes = wire::encode(&request).unwrap();
        daemon.send(&bytes, &[daemon.as_fd()]).unwrap();
        let fault = connection.next_request().unwrap_err();
        assert!(matches!(fault, Fault::Empty { fds: 1 }));

        send(&daemon, hello(PROTOCOL_VERSION + 1));
        let fault = connection.next_request().unwrap_err();
        assert!(matches!(fault, Fault::Version { theirs: 2 }));

        drop(daemon);
        let fault = connection.next_request().unwrap_err();
        assert!(matches!(fault, Fault::Closed));
    }

    #[test]
    fn a_daemon_that_asks_and_never_reads_is_cut_off_and_until_then_nothing_waits() {
        let (mut connection, daemon) = pair();
        let mut answers = 0;
        let fault = loop {
            match connection.spawned("a".repeat(64), 1) {
                Ok(()) => answers += 1,
                Err(fault) => break fault,
            }
            assert!(answers < 1 << 16, "answers have no bound");
        };
        assert!(matches!(fault, Fault::NotReading));
        assert!(connection.has_outgoing());
        for _ in 0..answers {
            connection.flush().unwrap();
            daemon.try_recv().unwrap().unwrap();
        }
        connection.flush().unwrap();
        assert!(!connection.has_outgoing());
    }

    #[test]
    fn a_welcome_of_thousands_comes_in_frames_that_fit_and_loses_nobody() {
        let hosts: Vec<_> = (0..4096)
            .map(|pid| LivingHost {
                id: "h".repeat(64),
                pid: u32::MAX - pid,
                kind: i32::from(HostKind::Launch),
            })
            .collect();
        let exits: Vec<_> = (0..777)
            .map(|pid| HostExited {
                id: "e".repeat(64),
                pid: u32::MAX - pid,
                code: None,
                signal: Some(-1),
                core_dumped: true,
            })
            .collect();
        let welcomes = welcomes(u64::MAX, &[b'/'; 107], &hosts, &exits);
        for (index, welcome) in welcomes.iter().enumerate() {
            assert_eq!(welcome.more, index + 1 < welcomes.len());
            let body = Some(EventBody::Welcome(welcome.clone()));
            wire::encode(&Event { body }).unwrap();
        }
        let all = |pick: fn(&Welcome) -> usize| welcomes.iter().map(pick).sum::<usize>();
        assert_eq!(all(|w| w.hosts.len()), 4096);
        assert_eq!(all(|w| w.exits.len()), 777);
        assert_eq!(super::welcomes(1, b"/", &[], &[]).len(), 1);
    }

    #[test]
    fn a_daemon_that_dies_before_its_answers_is_heard_to_the_end() {
        let (mut connection, daemon) = pair();
        send(&daemon, hello(PROTOCOL_VERSION));
        send(&daemon, RequestBody::Ready(Ready {}));
        drop(daemon);
        connection.exited(HostExited::default()).unwrap();
        assert!(connection.next_request().unwrap().is_some());
        assert!(connection.next_request().unwrap().is_some());
        let fault = connection.next_request().unwrap_err();
        assert!(matches!(fault, Fault::Closed));
    }

    #[test]
    fn last_words_are_searched_for_ready_only() {
        let (mut connection, daemon) = pair();
        send(&daemon, hello(PROTOCOL_VERSION));
        let id = "a".to_owned();
        send(&daemon, RequestBody::KillHost(KillHost { id, signal: 9 }));
        assert!(!connection.says_ready());
        send(&daemon, RequestBody::Ready(Ready {}));
        drop(daemon);
        assert!(connection.says_ready());
        assert!(!connection.says_ready());
    }

    #[test]
    fn requests_are_read_while_nothing_can_be_sent() {
        let (mut connection, daemon) = pair();
        send(&daemon, hello(PROTOCOL_VERSION));
        connection.next_request().unwrap();
        while !connection.has_outgoing() {
            connection.exited(HostExited::default()).unwrap();
        }
        let id = "a".to_owned();
        send(&daemon, RequestBody::KillHost(KillHost { id, signal: 9 }));
        assert!(connection.next_request().unwrap().is_some());
    }
}
