//! The state as a message. Descriptors are numbers into what goes with it.
//!
//! **Invariant:** no time is a date: what is left or past is told in milliseconds, and clocks stay with the kernel.

use prost::Message;

use super::super::proto::{HostExited, HostKind};

/// All that a supervisor knows and its configuration does not say.
#[derive(Clone, PartialEq, Message)]
pub(in super::super) struct State {
    /// [`STATE_VERSION`](super::STATE_VERSION) of the build that wrote it.
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// The last daemon's epoch.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// Whether a daemon ever served.
    #[prost(bool, tag = "3")]
    pub ever_ready: bool,
    /// Quick deaths of daemons in a row.
    #[prost(uint32, tag = "4")]
    pub quick_deaths: u32,
    /// The runtime directory, absolute.
    #[prost(bytes = "vec", tag = "5")]
    pub runtime_dir: Vec<u8>,
    /// The descriptor that locks it.
    #[prost(uint32, tag = "6")]
    pub lock: u32,
    /// Hosts that live.
    #[prost(message, repeated, tag = "7")]
    pub hosts: Vec<HeldHost>,
    /// Exits that no daemon acknowledged.
    #[prost(message, repeated, tag = "8")]
    pub exits: Vec<HostExited>,
    /// The daemon, if one runs.
    #[prost(message, optional, tag = "9")]
    pub daemon: Option<HeldDaemon>,
    /// Listening sockets that a service manager made.
    #[prost(message, repeated, tag = "10")]
    pub sockets: Vec<HeldSocket>,
}

/// A listening socket.
#[derive(Clone, PartialEq, Message)]
pub(in super::super) struct HeldSocket {
    /// What it is for: `api` or `health`.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The descriptor.
    #[prost(uint32, tag = "2")]
    pub socket: u32,
}

/// A host that lives.
#[derive(Clone, PartialEq, Message)]
pub(in super::super) struct HeldHost {
    /// Its name.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Its process.
    #[prost(int32, tag = "2")]
    pub pid: i32,
    /// What it is for.
    #[prost(enumeration = "HostKind", tag = "3")]
    pub kind: i32,
    /// The pidfd of one that was adopted; the others are children.
    #[prost(uint32, optional, tag = "4")]
    pub pidfd: Option<u32>,
}

/// The daemon.
#[derive(Clone, PartialEq, Message)]
pub(in super::super) struct HeldDaemon {
    /// Its process, a child.
    #[prost(int32, tag = "1")]
    pub pid: i32,
    /// How long it has lived.
    #[prost(uint64, tag = "2")]
    pub lived_ms: u64,
    /// Unset once it closed its end.
    #[prost(message, optional, tag = "3")]
    pub connection: Option<HeldConnection>,
}

/// The socket to the daemon.
#[derive(Clone, PartialEq, Message)]
pub(in super::super) struct HeldConnection {
    /// The descriptor.
    #[prost(uint32, tag = "1")]
    pub socket: u32,
    /// Whether the daemon said hello.
    #[prost(bool, tag = "2")]
    pub greeted: bool,
    /// Frames that it did not take yet, oldest first.
    #[prost(message, repeated, tag = "3")]
    pub outgoing: Vec<HeldFrame>,
}

/// A frame.
#[derive(Clone, PartialEq, Message)]
pub(in super::super) struct HeldFrame {
    /// All of it.
    #[prost(bytes = "vec", tag = "1")]
    pub bytes: Vec<u8>,
    /// Whether it counts against the bound on answers.
    #[prost(bool, tag = "2")]
    pub is_answer: bool,
    /// Whether the sockets of a service manager go with it.
    #[prost(bool, tag = "3")]
    pub with_sockets: bool,
}
