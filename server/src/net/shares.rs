//! How the receive budget is divided: what every connection costs, what calls cost, what messages take, and larger windows.
//!
//! ```text
//!  receive_budget_bytes
//!  ├─ max_connections × CONNECTION_BYTES   reserved: the least that HTTP/2 lets a peer send, and the connection itself; with TLS TLS_BYTES too
//!  ├─ 1/16                                 calls: their headers and their state
//!  └─ the rest, halved ─┬─ messages        gathered by calls until they are whole and consumed (see `budget`)
//!                       └─ windows         beyond the least, for the connections that came first
//! ```
//!
//! Where devices are served, half of the calls and of the windows and a quarter of the messages are theirs, and theirs alone (see `budget`).
//!
//! **Invariant:** the shares never add up to more than the budget.

use super::limits::{Limits, Windows};

/// The least window of a connection: a peer may send as much before it has read a word of ours (RFC 9113, 6.9.2).
pub(super) const LEAST_WINDOW_BYTES: u32 = 65_535;
/// The least that frames may be limited to (RFC 9113, 4.2).
pub(super) const LEAST_FRAME_BYTES: u32 = 16 << 10;
/// A connection beside what its peer has under way: tables of HPACK, buffers for writing, tasks.
const OVERHEAD_BYTES: u64 = 32 << 10;
/// What a connection costs at the least: its window, a frame that is being read, a frame in hand (see `hand`), and itself.
const CONNECTION_BYTES: u64 =
    LEAST_WINDOW_BYTES as u64 + 1 + 2 * LEAST_FRAME_BYTES as u64 + OVERHEAD_BYTES;
/// TLS beside that: a record that is being read (`MAX_WIRE_SIZE`, rustls/src/msgs/message/mod.rs), what HTTP/2 has not taken of the one before
/// (`DEFAULT_RECEIVED_PLAINTEXT_LIMIT`, rustls/src/common_state.rs), and the keys. What it sends is in the buffers for writing.
const TLS_BYTES: u64 = 40 << 10;
/// Least size of each of the two halves, in largest messages: a quarter of one of them has to hold one (see `budget`).
const LEAST_MESSAGES: u64 = 8;

/// What a budget is divided into, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// For calls.
    pub(super) calls: u64,
    /// For messages that are gathered.
    pub(super) messages: u64,
    /// For windows beyond the least.
    pub(super) windows: u64,
}

/// A budget that is too small for the other limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "receive_budget_bytes is {given}, but {connections} connections need {least}; raise it, or lower max_connections"
)]
pub struct TooSmall {
    /// What was given, in bytes.
    pub given: u64,
    /// For how many connections.
    pub connections: u64,
    /// What they need, in bytes.
    pub least: u64,
}

impl Shares {
    /// Divides the budget of `limits`.
    ///
    /// # Errors
    /// It does not suffice for `max_connections`.
    pub fn of(limits: &Limits) -> Result<Self, TooSmall> {
        let connections = limits.max_connections as u64;
        let given = limits.receive_budget_bytes;
        let each = CONNECTION_BYTES + if limits.tls { TLS_BYTES } else { 0 };
        let reserved = connections.saturating_mul(each);
        let least_half = LEAST_MESSAGES * limits.max_message_bytes as u64;
        let calls = given / 16;
        let rest = given.saturating_sub(reserved).saturating_sub(calls);
        if rest / 2 < least_half {
            // Solved for the budget of which one sixteenth is for calls, rounded up to whole MiB.
            let least = reserved.saturating_add(2 * least_half);
            let least = least.saturating_mul(16).div_ceil(15).div_ceil(1 << 20) << 20;
            return Err(TooSmall {
                given,
                connections,
                least,
            });
        }
        Ok(Self {
            calls,
            messages: rest / 2,
            windows: rest / 2,
        })
    }
}

/// The windows of a connection that was granted `extra` bytes beyond the least, at most `ceiling`.
pub(super) fn windows(extra: u32, ceiling: Windows) -> Windows {
    // Of the extra, three eighths at most are for the two frames that are outside of every window.
    let frame = (extra / 8).clamp(LEAST_FRAME_BYTES, ceiling.frame.max(LEAST_FRAME_BYTES));
    let frames = 2 * (frame - LEAST_FRAME_BYTES);
    let connection = LEAST_WINDOW_BYTES + extra.saturating_sub(frames);
    Windows {
        stream: connection.min(ceiling.stream).max(LEAST_WINDOW_BYTES),
        connection,
        frame,
    }
}

/// What `ceiling` costs beyond the least, in bytes.
pub(super) fn most_extra(ceiling: Windows) -> u32 {
    let frames = 2 * ceiling.frame.saturating_sub(LEAST_FRAME_BYTES);
    ceiling
        .connection
        .saturating_sub(LEAST_WINDOW_BYTES)
        .saturating_add(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_the_budget_and_no_more() {
        for connections in [1, 100, 1024] {
            let limits = Limits {
                max_connections: connections,
                ..Limits::default()
            };
            let shares = Shares::of(&limits).expect("suffices");
            let sum = connections as u64 * CONNECTION_BYTES
                + shares.calls
                + shares.messages
                + shares.windows;
            assert!(sum <= limits.receive_budget_bytes);
            assert!(sum + 2 >= limits.receive_budget_bytes);
        }
    }

    #[test]
    fn a_budget_that_does_not_suffice_says_what_would() {
        let mut limits = Limits {
            receive_budget_bytes: 1 << 20,
            ..Limits::default()
        };
        let error = Shares::of(&limits).expect_err("is too small");
        limits.receive_budget_bytes = error.least;
        Shares::of(&limits).expect("suffices");
        limits.receive_budget_bytes = error.least - (1 << 20);
        Shares::of(&limits).expect_err("is too small");
    }

    #[test]
    fn windows_cost_what_they_were_granted() {
        let ceiling = Windows::default();
        assert_eq!(windows(most_extra(ceiling), ceiling), ceiling);
        for extra in [0, 1, 64 << 10, 300_000, 5 << 20] {
            let granted = windows(extra, ceiling);
            assert!(most_extra(granted) <= extra);
            assert!(granted.stream <= granted.connection);
        }
        let least = windows(0, ceiling);
        assert_eq!((least.connection, least.frame), (65_535, 16 << 10));
    }
}
