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
    /// How long a new connection may take to say that it speaks HTTP/2.
    pub preface_timeout: Duration,
    /// How often a connection is pinged.
    pub keepalive_interval: Duration,
    /// How long it may take to answer a ping before it is closed.
    pub keepalive_timeout: Duration,
    /// How much may be under way from the peer.
    pub windows: Windows,
}

/// HTTP/2 flow control, in bytes. Kept apart from the other limits because a later version shrinks it under load.
#[derive(Debug, Clone, Copy)]
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

/// Largest list of headers of one request, in bytes, as HTTP/2 counts it.
pub const MAX_HEADER_LIST_BYTES: u32 = 16 << 10;

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_streams_per_connection: 128,
            max_message_bytes: MAX_MESSAGE_BYTES,
            preface_timeout: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(20),
            windows: Windows::default(),
        }
    }
}

impl Default for Windows {
    /// Measured with 1 MiB messages (kernel.md section 12): 2.5 GB/s over a Unix socket, 1.1 with the defaults of tonic.
    fn default() -> Self {
        Self {
            stream: 8 << 20,
            connection: 32 << 20,
            frame: 1 << 20,
        }
    }
}
