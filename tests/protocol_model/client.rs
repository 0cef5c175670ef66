//! A client session: what it knows of each call, and what it makes of an answer.
//!
//! ```text
//!          send                 answer
//! Open ──────────▶ (in flight) ────────▶ Counted · NotOurs · Unclear · Taken · Forgotten · GivenUp
//!   ▲                │  │  │                (final)
//!   │     NOT_APPLIED│  │  └─ too early ──▶ Early ── the next number moved ──▶ sent again
//!   ├────────────────┘  │
//!   │   connection lost │
//!   ├───────────────────┴─────▶ Lost ── GetStageResult knows it ──▶ Counted
//!   └────────────────────────────┘ it does not
//! ```
//!
//! A session on a SEQUENCED launch gives up at the first stop on its stream: its digest cannot be had any more. On an UNORDERED one it goes on
//! with the rest of its plan.
//!
//! **Invariant:** a session holds a number for a count only if it can be no other; where it cannot know, it says so.

use crate::{
    message::{Answer, CallIndex},
    plan::{Key, Plan, Resume, Transport},
};

/// What a session knows of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    /// To be sent, perhaps again.
    Open,
    /// Its answer was lost: to be asked for.
    Lost,
    /// Refused because `next` comes before it: to be sent again once that has changed.
    Early { next: Key },
    /// This call installed so many pages.
    Counted { pages: u8, complete: bool },
    /// Its first page is somebody else's: it installed nothing.
    NotOurs,
    /// Its first page is there, as wanted: by an attempt whose answer is forgotten, or by somebody else.
    Unclear,
    /// Its number or id was used for other content.
    Taken,
    /// Its number was applied, and the answer is no longer kept.
    Forgotten,
    /// It is behind a stop of a SEQUENCED stream: it installed nothing, and will not.
    GivenUp,
}

impl Outcome {
    pub(crate) fn is_final(self) -> bool {
        match self {
            Self::Open | Self::Lost | Self::Early { .. } => false,
            Self::Counted { .. }
            | Self::NotOurs
            | Self::Unclear
            | Self::Taken
            | Self::Forgotten
            | Self::GivenUp => true,
        }
    }

    /// The count that the session would report; `None` where it does not know.
    pub(crate) fn claim(self) -> Option<u8> {
        match self {
            Self::Counted { pages, .. } => Some(pages),
            Self::NotOurs | Self::Taken | Self::GivenUp => Some(0),
            Self::Open | Self::Lost | Self::Early { .. } | Self::Unclear | Self::Forgotten => None,
        }
    }
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    /// By call of the plan.
    pub(crate) outcomes: Vec<Outcome>,
    /// Told that the host died: all counts are void.
    pub(crate) void: bool,
    /// Crashed and started anew.
    pub(crate) restarted: bool,
    /// Connections that it may still lose.
    pub(crate) losses_left: u8,
    /// Connections opened, ever.
    pub(crate) connections: u8,
}

impl Client {
    pub(crate) fn new(plan: &Plan, losses: u8) -> Self {
        Self {
            outcomes: vec![Outcome::Open; plan.calls.len()],
            void: false,
            restarted: false,
            losses_left: losses,
            connections: 0,
        }
    }

    /// Whether it has reported.
    pub(crate) fn has_ended(&self) -> bool {
        self.void || self.outcomes.iter().all(|outcome| outcome.is_final())
    }

    /// Whether the whole plan was installed, every page by this client.
    pub(crate) fn is_complete(&self) -> bool {
        let complete =
            |outcome: &Outcome| matches!(outcome, Outcome::Counted { complete, .. } if *complete);
        !self.void && self.outcomes.iter().all(complete)
    }

    /// The calls that are in `state`.
    pub(crate) fn calls(&self, state: impl Fn(Outcome) -> bool) -> impl Iterator<Item = CallIndex> {
        self.outcomes
            .iter()
            .enumerate()
            .filter(move |&(_, &outcome)| state(outcome))
            .map(|(call, _)| call)
    }

    /// The connection broke before `call` was answered.
    pub(crate) fn lose(&mut self, plan: &Plan, call: CallIndex) {
        if !self.outcomes[call].is_final() {
            self.outcomes[call] = in_doubt(plan);
        }
    }

    /// Everything but the plan is gone.
    pub(crate) fn restart(&mut self, plan: &Plan) {
        self.outcomes.fill(in_doubt(plan));
        self.void = false;
        self.restarted = true;
    }

    /// Takes an answer in.
    pub(crate) fn learn(&mut self, plan: &Plan, sequenced: bool, call: CallIndex, answer: Answer) {
        if self.outcomes[call].is_final() {
            return;
        }
        let number = plan.calls[call].key;
        let outcome = match answer {
            Answer::Applied { pages, complete } => Outcome::Counted { pages, complete },
            // An applied number is never judged anew, and an applied extent begins with a page of its own.
            Answer::AlreadyInstalled { identical } if sequenced || !identical => Outcome::NotOurs,
            Answer::AlreadyInstalled { .. } => Outcome::Unclear,
            Answer::OutOfSequence { next } if next < number => Outcome::Early { next },
            Answer::OutOfSequence { .. } => Outcome::Forgotten,
            Answer::OtherContent => Outcome::Taken,
            Answer::ResultNotFound { next } if sequenced && next > number => Outcome::Forgotten,
            Answer::ResultNotFound { .. } | Answer::NotApplied => Outcome::Open,
            Answer::HostDied => {
                self.void = true;
                return;
            }
        };
        self.outcomes[call] = outcome;
        if sequenced && plan.transport == Transport::Stream && ends_the_plan(outcome) {
            for later in self.outcomes.iter_mut().skip(call + 1) {
                if !later.is_final() {
                    *later = Outcome::GivenUp;
                }
            }
        }
    }
}

/// What a session takes a call for that it may have sent, and of which it knows nothing.
fn in_doubt(plan: &Plan) -> Outcome {
    match plan.resume {
        Resume::Repeat => Outcome::Open,
        Resume::Ask => Outcome::Lost,
    }
}

/// Whether the digest that the plan leads to cannot be had any more.
fn ends_the_plan(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Counted { complete, .. } => !complete,
        Outcome::NotOurs | Outcome::Taken => true,
        // A forgotten answer says nothing of the calls behind it.
        Outcome::Open
        | Outcome::Lost
        | Outcome::Early { .. }
        | Outcome::Unclear
        | Outcome::Forgotten
        | Outcome::GivenUp => false,
    }
}
