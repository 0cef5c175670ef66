//! What supervisor and daemon say to each other, over a socket pair that the daemon is born with as its standard input.
//!
//! ```text
//! daemon                              supervisor
//!   Hello{protocol_version}   ──────▶
//!                             ◀──────   Welcome{epoch, hosts, exits}, in several frames where they are many
//!   Ready                     ──────▶   from now on a death of the daemon is answered by a restart
//!   SpawnHost{id, platform, …} ─────▶
//!                             ◀──────   Spawned{id, pid} | SpawnFailed{id, errno}
//!   AdoptHost{id} + a pidfd   ──────▶
//!                             ◀──────   Adopted{id, pid} | SpawnFailed{id, errno}
//!   KillHost{id, signal}      ──────▶
//!                             ◀──────   HostExited{id, pid, status}, whenever it happens
//!   AckExit{id}               ──────▶   the exit is known; its id may be forgotten
//!                             ◀──────   Retire, once the supervisor was upgraded: drain and end, another daemon follows
//! ```
//!
//! One message per frame; no descriptors, but for the one of `AdoptHost`, and the listening sockets of a service manager with the first `Welcome`. An exit is told once to each daemon, until one of them acknowledges it.
//!
//! **Invariant:** a host's `Spawned` or `Adopted` comes before its `HostExited`, and each id names one host for the life of the machine's launches: it is
//! refused while it names a living host or an exit that nobody acknowledged.

use prost::{Enumeration, Message, Oneof};

use super::exit::{ExitStatus, HostExit};
use super::id::HostId;

/// The version that this build speaks. Both sides come from one binary; they differ only across an upgrade.
pub const PROTOCOL_VERSION: u32 = 1;

/// `SpawnHost` and `AdoptHost` requests that may wait for their answers. A daemon that goes beyond is broken.
pub const MAX_PENDING_SPAWNS: usize = 64;

/// From the daemon.
#[derive(Clone, PartialEq, Message)]
pub struct Request {
    /// What it wants. Required.
    #[prost(oneof = "RequestBody", tags = "1, 2, 3, 4, 5, 6")]
    pub body: Option<RequestBody>,
}

/// A daemon's request.
#[derive(Clone, PartialEq, Oneof)]
pub enum RequestBody {
    /// The first message, and only that.
    #[prost(message, tag = "1")]
    Hello(Hello),
    /// The daemon serves.
    #[prost(message, tag = "2")]
    Ready(Ready),
    /// Start a host.
    #[prost(message, tag = "3")]
    SpawnHost(SpawnHost),
    /// Send a signal to a host.
    #[prost(message, tag = "4")]
    KillHost(KillHost),
    /// An exit is known.
    #[prost(message, tag = "5")]
    AckExit(AckExit),
    /// Take in a host that a killed supervisor left.
    #[prost(message, tag = "6")]
    AdoptHost(AdoptHost),
}

/// The daemon is there.
#[derive(Clone, PartialEq, Message)]
pub struct Hello {
    /// [`PROTOCOL_VERSION`] of the daemon's build.
    #[prost(uint32, tag = "1")]
    pub protocol_version: u32,
}

/// The daemon serves.
#[derive(Clone, PartialEq, Message)]
pub struct Ready {}

/// Start a host.
#[derive(Clone, PartialEq, Message)]
pub struct SpawnHost {
    /// A [`HostId`].
    #[prost(string, tag = "1")]
    pub id: String,
    /// What it is for. Required.
    #[prost(enumeration = "HostKind", tag = "2")]
    pub kind: i32,
    /// Arguments behind `host`, at most 64, at most 32 KiB in all.
    #[prost(string, repeated, tag = "3")]
    pub args: Vec<String>,
    /// The platform whose program runs, if the supervisor's configuration has one; the built-in host for any other, and for none.
    #[prost(string, tag = "4")]
    pub platform: String,
}

/// Take in a host that is nobody's: its supervisor was killed. With it comes one descriptor, a pidfd of its process, which MUST run as our
/// user, as `PROGRAM host … --id=<id> …`: nothing else may be put under the supervisor's signals.
#[derive(Clone, PartialEq, Message)]
pub struct AdoptHost {
    /// A [`HostId`].
    #[prost(string, tag = "1")]
    pub id: String,
    /// What it is for. Required.
    #[prost(enumeration = "HostKind", tag = "2")]
    pub kind: i32,
}

/// What a host is for. The supervisor treats all alike; it tells the next daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum HostKind {
    /// Never sent.
    Unspecified = 0,
    /// It holds a launch.
    Launch = 1,
    /// It looks at a platform and exits.
    Probe = 2,
}

/// Send a signal to a host. One that is gone already is no error: its exit is on the way.
#[derive(Clone, PartialEq, Message)]
pub struct KillHost {
    /// A [`HostId`].
    #[prost(string, tag = "1")]
    pub id: String,
    /// A signal's number, 1 to 31.
    #[prost(int32, tag = "2")]
    pub signal: i32,
}

/// The exit of this host is known and need not be told again.
#[derive(Clone, PartialEq, Message)]
pub struct AckExit {
    /// A [`HostId`].
    #[prost(string, tag = "1")]
    pub id: String,
}

/// From the supervisor.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// What happened. Required.
    #[prost(oneof = "EventBody", tags = "1, 2, 3, 4, 5, 6")]
    pub body: Option<EventBody>,
}

/// A supervisor's answer or news.
#[derive(Clone, PartialEq, Oneof)]
pub enum EventBody {
    /// The answer to `Hello`.
    #[prost(message, tag = "1")]
    Welcome(Welcome),
    /// A host was started.
    #[prost(message, tag = "2")]
    Spawned(Spawned),
    /// A host was not started.
    #[prost(message, tag = "3")]
    SpawnFailed(SpawnFailed),
    /// A host is gone.
    #[prost(message, tag = "4")]
    HostExited(HostExited),
    /// A host was taken in.
    #[prost(message, tag = "5")]
    Adopted(Adopted),
    /// The daemon is to drain and end: its successor waits.
    #[prost(message, tag = "6")]
    Retire(Retire),
}

/// What the daemon has to know first.
#[derive(Clone, PartialEq, Message)]
pub struct Welcome {
    /// [`PROTOCOL_VERSION`] of the supervisor's build.
    #[prost(uint32, tag = "1")]
    pub protocol_version: u32,
    /// Which daemon of this supervisor this is, from 1.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// The directory of the hosts' sockets, `<id>.sock`.
    #[prost(bytes = "vec", tag = "3")]
    pub host_dir: Vec<u8>,
    /// Hosts that live.
    #[prost(message, repeated, tag = "4")]
    pub hosts: Vec<LivingHost>,
    /// Exits that no daemon acknowledged.
    #[prost(message, repeated, tag = "5")]
    pub exits: Vec<HostExited>,
    /// Another `Welcome` follows, with more of both.
    #[prost(bool, tag = "6")]
    pub more: bool,
    /// What each of the descriptors is for that come with this frame: listening sockets, `api` or `health`.
    #[prost(string, repeated, tag = "7")]
    pub sockets: Vec<String>,
}

/// A host that lives.
#[derive(Clone, PartialEq, Message)]
pub struct LivingHost {
    /// A [`HostId`].
    #[prost(string, tag = "1")]
    pub id: String,
    /// Its process id.
    #[prost(uint32, tag = "2")]
    pub pid: u32,
    /// What it is for.
    #[prost(enumeration = "HostKind", tag = "3")]
    pub kind: i32,
}

/// A host was started; it listens on its socket already.
#[derive(Clone, PartialEq, Message)]
pub struct Spawned {
    /// A [`HostId`].
    #[prost(string, tag = "1")]
    pub id: String,
    /// Its process id.
    #[prost(uint32, tag = "2")]
    pub pid: u32,
}

/// A host was taken in.
#[derive(Clone, PartialEq, Message)]
pub struct Adopted {
    /// A [`HostId`].
    #[prost(string, tag = "1")]
    pub id: String,
    /// Its process id.
    #[prost(uint32, tag = "2")]
    pub pid: u32,
}

/// The daemon is to drain and end, as at SIGTERM, but the service goes on: its hosts stay, and another daemon takes its place.
#[derive(Clone, PartialEq, Message)]
pub struct Retire {}

/// A host was not started, and nothing is left of it; or it was not taken in, and is as it was.
#[derive(Clone, PartialEq, Message)]
pub struct SpawnFailed {
    /// The id as it was asked for.
    #[prost(string, tag = "1")]
    pub id: String,
    /// EINVAL for a bad request, EEXIST for an id or a process in use, EAGAIN for too many hosts, ESHUTDOWN while ending; for a pidfd, EBADF where
    /// it is none, ESRCH where its process is gone, EPERM where that is no such host; else the kernel's.
    #[prost(int32, tag = "2")]
    pub errno: i32,
    /// The same for a person.
    #[prost(string, tag = "3")]
    pub message: String,
}

/// A host is gone, and its socket's name with it.
#[derive(Clone, PartialEq, Message)]
pub struct HostExited {
    /// A [`HostId`].
    #[prost(string, tag = "1")]
    pub id: String,
    /// The process id that it had.
    #[prost(uint32, tag = "2")]
    pub pid: u32,
    /// What it returned. Exactly one of `code`, `signal` and `unknown` is set.
    #[prost(int32, optional, tag = "3")]
    pub code: Option<i32>,
    /// The signal that killed it.
    #[prost(int32, optional, tag = "4")]
    pub signal: Option<i32>,
    /// Whether it left a core dump.
    #[prost(bool, tag = "5")]
    pub core_dumped: bool,
    /// See [`ExitStatus::Unknown`]. Only for adopted hosts, of which a daemon that does not know this field has none.
    #[prost(bool, tag = "6")]
    pub unknown: bool,
}

impl HostExited {
    /// Tells of an exit.
    #[must_use]
    pub fn new(id: &HostId, exit: HostExit) -> Self {
        let core_dumped = match exit.status {
            ExitStatus::Code(_) | ExitStatus::Unknown => false,
            ExitStatus::Signal { core_dumped, .. } => core_dumped,
        };
        Self {
            id: id.to_string(),
            pid: exit.pid,
            code: exit.code(),
            signal: exit.signal(),
            core_dumped,
            unknown: exit.status == ExitStatus::Unknown,
        }
    }

    /// Reads it back; `None` for what no supervisor sends.
    #[must_use]
    pub fn to_exit(&self) -> Option<(HostId, HostExit)> {
        let status = match (self.code, self.signal, self.unknown) {
            (Some(code), None, false) => ExitStatus::Code(code),
            (None, Some(signal), false) => ExitStatus::Signal {
                signal,
                core_dumped: self.core_dumped,
            },
            (None, None, true) => ExitStatus::Unknown,
            _ => return None,
        };
        let pid = self.pid;
        Some((self.id.parse().ok()?, HostExit { pid, status }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_survives_the_wire_exactly() {
        for status in [
            ExitStatus::Code(0),
            ExitStatus::Code(255),
            ExitStatus::Signal {
                signal: 11,
                core_dumped: true,
            },
            ExitStatus::Signal {
                signal: 37,
                core_dumped: false,
            },
            ExitStatus::Unknown,
        ] {
            let id: HostId = "a-1".parse().unwrap();
            let exit = HostExit { pid: 77, status };
            assert_eq!(HostExited::new(&id, exit).to_exit(), Some((id, exit)));
        }
    }

    #[test]
    fn an_exit_without_or_with_two_statuses_is_none() {
        let none = HostExited {
            id: "a".to_owned(),
            ..HostExited::default()
        };
        let both = HostExited {
            code: Some(0),
            signal: Some(9),
            ..none.clone()
        };
        let unsure = HostExited {
            unknown: true,
            ..both.clone()
        };
        assert_eq!(none.to_exit(), None);
        assert_eq!(both.to_exit(), None);
        assert_eq!(unsure.to_exit(), None);
    }
}
