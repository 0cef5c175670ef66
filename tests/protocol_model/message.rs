//! What goes over the wire: requests, answers, and the connections that carry them.
//!
//! A connection is what a client opens: a stream with all its calls, or one for each unary call. Its two directions are queues, because TCP
//! and HTTP/2 keep the order within a stream. Nothing orders two connections.
//!
//! **Invariant:** a message is lost only with its whole connection, and is doubled only by a client that sends it again.

use std::collections::VecDeque;

use crate::plan::{Key, Who};

/// Which of a client's planned calls.
pub(crate) type CallIndex = usize;

/// A request about one planned call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    pub(crate) verb: Verb,
    pub(crate) call: CallIndex,
    pub(crate) key: Key,
}

/// The two RPCs of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    /// StagePages.
    Stage,
    /// GetStageResult.
    Ask,
}

/// What a request can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    /// OK: this many pages, at least one; `complete` unless a page stopped it.
    Applied { pages: u8, complete: bool },
    /// ALREADY_INSTALLED. `identical`: the first page has the bytes that were submitted.
    AlreadyInstalled { identical: bool },
    /// OUT_OF_SEQUENCE: too early, or too late for an answer.
    OutOfSequence { next: Key },
    /// SEQUENCE_CONFLICT or REQUEST_ID_REUSED.
    OtherContent,
    /// NOT_APPLIED: behind a stop.
    NotApplied,
    /// RESULT_NOT_FOUND. `next` is 0 on an UNORDERED launch.
    ResultNotFound { next: Key },
    /// HOST_DIED: the launch is over.
    HostDied,
}

impl Answer {
    /// Whether nothing more of the stream that got this answer is applied.
    pub(crate) fn stops_a_stream(self) -> bool {
        !matches!(self, Self::Applied { complete: true, .. })
    }
}

/// Names a connection: the client's first, second, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ConnectionId {
    pub(crate) who: Who,
    pub(crate) serial: u8,
}

/// A connection, from the client's end to the daemon's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    /// Whether the stop rule holds on it.
    pub(crate) stream: bool,
    /// Whether an answer was given that stops it.
    pub(crate) stopped: bool,
    /// Sent, and not yet handed to the host.
    pub(crate) requests: VecDeque<Request>,
    /// Given, and not yet received. Of no use once the client left.
    pub(crate) answers: VecDeque<Answer>,
    /// The calls whose answers the client still waits for, in the order of the answers; `None` once it left.
    pub(crate) awaited: Option<VecDeque<CallIndex>>,
}

impl Connection {
    pub(crate) fn open(id: ConnectionId, stream: bool, requests: VecDeque<Request>) -> Self {
        let awaited = requests.iter().map(|request| request.call).collect();
        Self {
            id,
            stream,
            stopped: false,
            requests,
            answers: VecDeque::new(),
            awaited: Some(awaited),
        }
    }

    /// Whether the client still reads.
    pub(crate) fn is_read(&self) -> bool {
        self.awaited.is_some()
    }

    pub(crate) fn answer(&mut self, answer: Answer) {
        if self.is_read() {
            self.answers.push_back(answer);
        }
    }

    /// The client leaves: what it sent may still arrive, what it was told does not. Returns the calls without an answer.
    pub(crate) fn leave(&mut self) -> VecDeque<CallIndex> {
        self.answers.clear();
        self.awaited.take().unwrap_or_default()
    }

    /// The daemon is gone, and with it everything that it had not handed to the host.
    pub(crate) fn die(&mut self) -> VecDeque<CallIndex> {
        self.requests.clear();
        self.leave()
    }
}
