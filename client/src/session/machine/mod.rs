//! What a session knows, and what it does next. Pure: it is told what happened, and never does anything itself.
//!
//! ```text
//!          read                        send                        whole answer
//! source ───────▶ queue of pieces ───────────▶ the first `sent` ──────────────────▶ settled, counted
//!                   ▲    ▲  │ ask first? GetStageResult ──▶ found ────────────────▶ settled, counted
//!                   │    │  └──────────────────────────────▶ not found: send
//!                   │    └── the rest of a piece that met identical pages; what came behind it on the stream was not applied
//!                   └─────── connection lost: everything sent is asked for before it is sent again
//! ```
//!
//! The stop rule of StagePagesStream does half of the work: behind an answer that is not a complete install nothing of that stream was
//! applied, so the pieces behind it are as if never sent. How many are in flight starts high, falls to one at a stop and doubles with
//! each whole answer, so that a plan that meets others' pages at every step does not send everything many times.
//!
//! **Invariant:** a page is counted once, when the piece that holds it is settled, from an answer to a call of this session's name.

use std::{collections::VecDeque, io};

use stagepages_proto::v1::StagePagesRequest;

use super::piece::Piece;
use crate::{
    LaunchRef, StagepagesError,
    addr::Gpa,
    stage::{Pages, StageEnd},
};

mod events;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// End the stream, hearing what it still has to say: this many requests are unanswered.
    Close { unanswered: usize },
    /// Wait before going on after the fault, or give up.
    Pause,
    /// Ask for the answer to this piece's call.
    Ask(usize),
    /// Look the launch's next sequence number up.
    Number,
    /// Send the next piece.
    Send,
    /// Read the next piece from the source.
    Read,
    /// Wait for the next answer of the stream.
    Await,
    /// Nothing.
    Over,
}

/// How calls are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// Not at all: the launch is UNORDERED.
    None,
    /// From the launch's next number on, which has to be looked up.
    Unknown,
    /// This is the next one.
    Next(u64),
}

/// What was counted. Pages, but for the calls, the bytes and the losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) installed: u64,
    pub(super) identical: u64,
    pub(super) calls: u64,
    pub(super) data_bytes: u64,
    pub(super) losses: u64,
}

#[derive(Debug)]
pub(super) struct Machine {
    /// Unsettled pieces in the order of the plan; of these the first `sent` are on the stream.
    queue: VecDeque<Piece>,
    sent: usize,
    /// Unanswered requests of a stream that has to be ended.
    close: Option<usize>,
    fault: Option<StagepagesError>,
    numbers: Numbers,
    /// Calls of earlier connections, or of a predecessor, may still arrive; so numbers can be found used.
    shaken: bool,
    window: usize,
    widest: usize,
    exhausted: bool,
    end: Option<StageEnd>,
    unreadable: Option<io::Error>,
    tally: Tally,
    progressed: bool,
    /// The address behind what is settled from the start of the plan on.
    behind: Gpa,
}

impl Machine {
    /// Of a plan that begins at `start`, with at most `widest` pieces held at a time. `resumed` if a predecessor's calls may still arrive.
    pub(super) fn new(start: Gpa, numbers: Numbers, widest: usize, resumed: bool) -> Self {
        let widest = widest.max(1);
        Self {
            queue: VecDeque::with_capacity(widest),
            sent: 0,
            close: None,
            fault: None,
            numbers,
            shaken: resumed,
            window: widest,
            widest,
            exhausted: false,
            end: None,
            unreadable: None,
            tally: Tally::default(),
            progressed: false,
            behind: start,
        }
    }

    /// What to do next.
    pub(super) fn next(&self) -> Action {
        if let Some(unanswered) = self.close {
            return Action::Close { unanswered };
        }
        if self.end.is_some() {
            return Action::Over;
        }
        if self.fault.is_some() {
            return Action::Pause;
        }
        if let Some(at) = self.queue.iter().position(|piece| piece.ask) {
            // What is on the stream comes first: an answer to it may say more.
            return if self.sent == 0 {
                Action::Ask(at)
            } else {
                Action::Await
            };
        }
        if self.sent < self.window.min(self.queue.len()) {
            return match self.numbers {
                Numbers::Unknown => Action::Number,
                Numbers::None | Numbers::Next(_) => Action::Send,
            };
        }
        if !self.exhausted && self.queue.len() < self.widest {
            return Action::Read;
        }
        if self.sent > 0 {
            Action::Await
        } else {
            Action::Over
        }
    }

    /// The next piece of the source.
    pub(super) fn push(&mut self, piece: Piece) {
        self.queue.push_back(piece);
    }

    /// The source has no more.
    pub(super) fn exhausted(&mut self) {
        self.exhausted = true;
    }

    /// The source cannot be read further. What was read is staged all the same, so that its count is known.
    pub(super) fn unreadable(&mut self, error: io::Error) {
        self.exhausted = true;
        self.unreadable = Some(error);
    }

    /// The name of the call of piece `at`.
    pub(super) fn request_id(&self, at: usize) -> String {
        self.queue
            .get(at)
            .map(Piece::request_id)
            .unwrap_or_default()
    }

    /// The request to send; from now on it is on the stream.
    pub(super) fn send(&mut self, launch: &LaunchRef) -> Option<StagePagesRequest> {
        let number = match self.numbers {
            Numbers::Next(next) => Some(next + self.sent as u64),
            Numbers::None | Numbers::Unknown => None,
        };
        let request = self.queue.get(self.sent)?.request(launch, number);
        self.sent += 1;
        self.tally.calls += 1;
        self.tally.data_bytes += request.data.as_ref().map_or(0, |data| data.len() as u64);
        Some(request)
    }

    /// The launch's next number.
    pub(super) fn numbered(&mut self, next: u64) {
        self.numbers = Numbers::Next(next);
    }

    /// Why to pause.
    pub(super) fn fault(&self) -> Option<&StagepagesError> {
        self.fault.as_ref()
    }

    /// The pause is over.
    pub(super) fn resume(&mut self) {
        self.fault = None;
    }

    /// No more repeats.
    pub(super) fn give_up(&mut self) {
        if let Some(error) = self.fault.take() {
            self.end_with(StageEnd::Failed(error));
        }
    }

    /// Whether a page was settled since this was last asked.
    pub(super) fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progressed)
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// The address behind what is settled from the start of the plan on.
    pub(super) fn next_gpa(&self) -> Gpa {
        self.queue
            .front()
            .map_or(self.behind, |piece| piece.rest.gpa)
    }

    /// What may be installed without having been counted, neighbours joined.
    pub(super) fn in_doubt(&self) -> Vec<Pages> {
        let mut doubt: Vec<Pages> = Vec::new();
        for piece in self.queue.iter().filter(|piece| piece.doubt) {
            match doubt.last_mut() {
                Some(last) if last.gpa.plus_pages(last.count) == Some(piece.rest.gpa) => {
                    last.count += piece.rest.count;
                }
                _ => doubt.push(piece.rest),
            }
        }
        doubt
    }

    /// How it ended.
    pub(super) fn into_end(self) -> StageEnd {
        match (self.end, self.unreadable) {
            (Some(end), _) => end,
            (None, Some(error)) => StageEnd::Unreadable(error),
            (None, None) => StageEnd::Complete,
        }
    }
}
