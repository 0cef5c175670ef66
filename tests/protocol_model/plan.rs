//! What is given: who the clients are, and what each means to stage.
//!
//! **Invariant:** a plan never changes; it is the one thing that a client still knows after a crash.

use std::ops::Range;

/// One of the two clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Who {
    Ada,
    Bob,
}

impl Who {
    pub(crate) const BOTH: [Self; 2] = [Self::Ada, Self::Bob];

    /// Its place in an array with one element for each client.
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Ada => 0,
            Self::Bob => 1,
        }
    }
}

/// A guest frame, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Frame(u8);

/// What makes a call exactly-once: its `sequence` on a SEQUENCED launch, its `request_id` on others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key(pub(crate) u8);

impl Key {
    pub(crate) fn following(self) -> Self {
        Self(self.0 + 1)
    }

    /// A name that no plan has: what a client uses that makes up new names after a restart.
    pub(crate) fn renamed(self) -> Self {
        Self(self.0 + 100)
    }
}

/// The bytes of all pages of an extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Bytes(pub(crate) char);

/// The content of a call, as the host compares it: where, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Extent {
    first: u8,
    end: u8,
    pub(crate) bytes: Bytes,
}

impl Extent {
    /// Its frames, ascending.
    pub(crate) fn frames(self) -> impl Iterator<Item = Frame> {
        (self.first..self.end).map(Frame)
    }

    pub(crate) fn pages(self) -> u8 {
        self.end - self.first
    }
}

/// A planned call of StagePages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Call {
    pub(crate) key: Key,
    pub(crate) extent: Extent,
}

/// How a client sends its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// All on one StagePagesStream: in order, and none behind a stop.
    Stream,
    /// Each as a StagePages of its own, all at once: nothing orders them.
    Unary,
}

/// How a client finds out what became of calls whose answers it lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resume {
    /// By sending them again.
    Repeat,
    /// By GetStageResult, and by sending again those of which the host knows nothing.
    Ask,
}

/// What one client means to do.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) calls: Vec<Call>,
    pub(crate) transport: Transport,
    pub(crate) resume: Resume,
}

impl Plan {
    /// A plan whose calls are `(key, frames)`, all with `bytes` in their pages.
    pub(crate) fn new(
        bytes: char,
        transport: Transport,
        resume: Resume,
        calls: impl IntoIterator<Item = (u8, Range<u8>)>,
    ) -> Self {
        let call = |(key, frames): (u8, Range<u8>)| Call {
            key: Key(key),
            extent: Extent {
                first: frames.start,
                end: frames.end,
                bytes: Bytes(bytes),
            },
        };
        Self {
            calls: calls.into_iter().map(call).collect(),
            transport,
            resume,
        }
    }
}
