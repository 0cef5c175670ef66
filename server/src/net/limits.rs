//! Bounds of connections, and the figures of HTTP/2.
//!
//! **Invariant:** nothing that a peer can open, send or leave waiting is unbounded.

use std::time::Duration;

/// What the server takes from its peers.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at one time, over all listeners. One more is accepted and closed at once: its client learns of it now and
    /// can say so, while a connection left in the backlog would only hang.
    pub max_connections: usize,
    /// Calls at one time on one connection; HTTP/2 refuses others with REFUSED_STREAM, which clients retry.
    pub max_streams_per_connection: u32,
    /// Largest gRPC message of a request, in bytes.
    pub max_message_bytes: usize,
    /// Connections at one time that have not begun to speak HTTP/2. One more drives out another. Beside the receive budget; each takes
    /// 64 KiB at most, which is the longest message of a handshake that rustls takes (`MAX_HANDSHAKE_SIZE`, rustls/src/msgs/deframer/handshake.rs).
    pub max_handshakes: usize,
    /// How long a new connection may take to say that it speaks HTTP/2, with the handshake of TLS before that.
    pub handshake_timeout: Duration,
    /// Whether connections may be by TLS, whose buffers are part of what each reserves of the receive budget.
    pub tls: bool,
    /// Whether devices are served, for whose connections a part of the receive budget is set apart.
    pub devices: bool,
    /// How often a connection is pinged.
    pub keepalive_interval: Duration,
    /// How long it may take to answer a ping before it is closed.
    pub keepalive_timeout: Duration,
    /// How much may be under way from one peer at most; under load it is less.
    pub windows: Windows,
    /// How much may be under way from all peers together, in bytes. [`Shares`] divides it.
    ///
    /// [`Shares`]: super::Shares
    pub receive_budget_bytes: u64,
    /// How long a call waits for the rest of a message, or for the peer to take what it is answered.
    pub stall_timeout: Duration,
    /// How long a connection may be without a call before its peer is told to go away.
    pub idle_timeout: Duration,
}

/// HTTP/2 flow control, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Per call.
    pub stream: u32,
    /// Per connection.
    pub connection: u32,
    /// Largest data frame.
    pub frame: u32,
}

/// Largest message that the daemon takes, in bytes: tonic's default on both sides, so that every client can talk to it
/// without settings of its own (`DEFAULT_MAX_RECV_MESSAGE_SIZE`, tonic/src/codec/mod.rs).
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// Largest sum of what connections may have under way to the daemon at one time, in bytes, where nobody configures another.
pub const RECEIVE_BUDGET_BYTES: u64 = 256 << 20;

/// Largest list of headers of one request, in bytes, as HTTP/2 counts it.
///
/// A request with more is answered 431, one with more than four times as much ends its connection (`load_hpack()`,
/// h2/src/frame/headers.rs).
pub const MAX_HEADER_LIST_BYTES: u32 = 16 << 10;

/// What a call takes of the receive budget beside its headers and its messages, in bytes: its tasks, HTTP/2's own state, and
/// a small message.
pub(super) const CALL_BYTES: u32 = 8 << 10;

/// What a call whose peer may pause takes beside, in bytes: what it holds of its answers while they are not taken. tonic gathers
/// small ones to 32 KiB and one more (`DEFAULT_YIELD_THRESHOLD`, tonic/src/codec/mod.rs); of these parts one is with h2 and one in hyper's hand
/// (`PipeToSendStream::poll()`, hyper/src/proto/h2/mod.rs); and two answers, of 8 KiB each, are on their way there.
pub(super) const PAUSE_BYTES: u32 = 96 << 10;

/// Answers of one call that may wait for their peer to take them, in bytes. Each is one message at least.
pub(super) const MAX_SEND_BYTES: usize = 64 << 10;

/// Calls of one connection that may be reset before they were looked at; more end the connection ("rapid reset",
/// `recv_reset()`, h2/src/proto/streams/recv.rs).
pub(super) const MAX_RESETS_UNSEEN: usize = 32;

/// Calls of one connection that may end because their peer broke a rule of HTTP/2; more end the connection
/// (RUSTSEC-2024-0003).
pub(super) const MAX_RULES_BROKEN: usize = 64;

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_streams_per_connection: 128,
            max_message_bytes: MAX_MESSAGE_BYTES,
            max_handshakes: 256,
            handshake_timeout: Duration::from_secs(10),
            tls: false,
            devices: false,
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(20),
            windows: Windows::default(),
            receive_budget_bytes: RECEIVE_BUDGET_BYTES,
            stall_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(600),
        }
    }
}

impl Default for Windows {
    /// What the daemon and the client's connection together take of the processor for each GiB of a StagePagesStream into `kvm`, by the largest frame: 16 KiB 1.62 s,
    /// 64 KiB 1.36 s, 256 KiB 1.25 s, 1 MiB 1.05 s. A frame is a read, a buffer, and a turn of h2's bookkeeping on either side. 2 MiB for a call and
    /// 4 MiB for the connection, instead of these windows, cost 1.44 s: a message of a call then waits for window updates halfway, and two tasks wake
    /// for each other.
    fn default() -> Self {
        Self {
            stream: 8 << 20,
            connection: 32 << 20,
            frame: 1 << 20,
        }
    }
}
