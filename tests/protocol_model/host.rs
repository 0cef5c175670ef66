//! The launch host: takes one call after the other, and alone decides what is installed.
//!
//! A call is judged in this order: is its answer kept, is its number the next, is its first page free. An extent is applied in one step, because
//! the launch host is one thread and nothing else of the launch runs between two chunks.
//!
//! **Invariant:** what is not in the ledger was never counted, and nothing leaves the ledger.

use std::collections::VecDeque;

use crate::{
    flaw::Flaw,
    message::{Answer, CallIndex},
    plan::{Bytes, Extent, Frame, Key, Who},
};

/// What the host is told of the launch when it is created.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Whether the launch is SEQUENCED.
    pub(crate) sequenced: bool,
    /// Answers kept.
    pub(crate) window: usize,
    /// What is built wrongly; `None` in the protocol as it is.
    pub(crate) flaw: Option<Flaw>,
}

impl Rules {
    pub(crate) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }
}

/// A call that was applied, for the record: the product keeps no such thing, the properties do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Applied {
    pub(crate) who: Who,
    pub(crate) call: CallIndex,
    /// What was installed.
    pub(crate) frames: Vec<Frame>,
    /// What the answer said.
    pub(crate) counted: u8,
}

/// An answer that is kept, and the content it was given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Kept {
    key: Key,
    extent: Extent,
    answer: Answer,
}

/// The state of a launch host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Host {
    /// What is installed, in the order of installation.
    pub(crate) ledger: Vec<(Frame, Bytes)>,
    /// The next number of a SEQUENCED launch.
    pub(crate) next: Key,
    kept: VecDeque<Kept>,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self {
            ledger: Vec::new(),
            next: Key(0),
            kept: VecDeque::new(),
        }
    }

    /// StagePages. With the answer come the frames that were installed, if the call was applied now.
    pub(crate) fn stage(
        &mut self,
        rules: &Rules,
        key: Key,
        extent: Extent,
    ) -> (Answer, Option<Vec<Frame>>) {
        if let Some(answer) = self.repeat(rules, key, extent) {
            return (answer, None);
        }
        if rules.sequenced && key != self.next && !rules.has(Flaw::AnyNumberWillDo) {
            return (Answer::OutOfSequence { next: self.next }, None);
        }
        let frames: Vec<Frame> = extent
            .frames()
            .take_while(|&frame| rules.has(Flaw::Overwrites) || self.holds(frame).is_none())
            .collect();
        if frames.is_empty() {
            let first = extent.frames().next().and_then(|frame| self.holds(frame));
            let identical = first == Some(extent.bytes);
            return (Answer::AlreadyInstalled { identical }, None);
        }
        self.ledger
            .extend(frames.iter().map(|&frame| (frame, extent.bytes)));
        if rules.sequenced {
            self.next = self.next.following();
        }
        let answer = answer(rules, extent, &frames);
        self.keep(
            rules,
            Kept {
                key,
                extent,
                answer,
            },
        );
        (answer, Some(frames))
    }

    /// GetStageResult.
    pub(crate) fn ask(&self, key: Key) -> Answer {
        self.kept(key)
            .map_or(Answer::ResultNotFound { next: self.next }, |kept| {
                kept.answer
            })
    }

    /// What a call is told whose key is known.
    fn repeat(&self, rules: &Rules, key: Key, extent: Extent) -> Option<Answer> {
        if rules.has(Flaw::RepeatsAreNew) {
            return None;
        }
        let kept = self.kept(key)?;
        if kept.extent == extent || rules.has(Flaw::ContentIsNotCompared) {
            Some(kept.answer)
        } else {
            Some(Answer::OtherContent)
        }
    }

    fn keep(&mut self, rules: &Rules, kept: Kept) {
        self.kept.push_back(kept);
        if self.kept.len() > rules.window {
            self.kept.pop_front();
        }
    }

    fn kept(&self, key: Key) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.key == key)
    }

    fn holds(&self, frame: Frame) -> Option<Bytes> {
        self.ledger
            .iter()
            .find_map(|&(installed, bytes)| (installed == frame).then_some(bytes))
    }
}

/// The answer to a call that installed `frames`, which are some.
fn answer(rules: &Rules, extent: Extent, frames: &[Frame]) -> Answer {
    // An extent of this model has a handful of frames.
    let installed = u8::try_from(frames.len()).unwrap_or(u8::MAX);
    let pages = if rules.has(Flaw::CountsWhatWasAsked) {
        extent.pages()
    } else {
        installed
    };
    Answer::Applied {
        pages,
        complete: installed == extent.pages(),
    }
}
