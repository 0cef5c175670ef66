//! What is checked: one launch, its two plans, and what may go wrong.
//!
//! **Invariant:** says what can happen; that it does, and what comes of it, is in `system.rs`.

use crate::{
    flaw::Flaw,
    host::Rules,
    message::ConnectionId,
    plan::{Plan, Resume, Who},
    system::System,
};

/// What is checked: rules, plans, and how much may go wrong.
#[derive(Debug, Clone)]
pub(crate) struct Protocol {
    pub(crate) rules: Rules,
    /// Of Ada and Bob.
    pub(crate) plans: [Plan; 2],
    /// Who may crash, once each.
    pub(crate) mortal: Vec<Party>,
    /// Connections that each client may lose, crashes apart.
    pub(crate) losses: u8,
    /// Calls that may wait in the host's queue.
    pub(crate) slots: usize,
    /// What has to be possible, so that a pass is not one of a system that does nothing.
    pub(crate) examples: Vec<Example>,
}

/// Who can crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Party {
    Client(Who),
    Daemon,
    Host,
}

impl Party {
    pub(crate) const ALL: [Self; 4] = [
        Self::Client(Who::Ada),
        Self::Client(Who::Bob),
        Self::Daemon,
        Self::Host,
    ];
}

/// Something that has to happen in some run.
pub(crate) type Example = (&'static str, fn(&Protocol, &System) -> bool);

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// A client sends what it has to send.
    Connect(Who),
    /// The daemon hands a connection's next request to the host.
    HandOver(ConnectionId),
    /// The host takes the next call up, and answers it.
    Take,
    /// A client receives the next answer.
    Hear(ConnectionId),
    /// A connection is lost.
    Cut(ConnectionId),
    /// A client crashes, and is started again; the daemon crashes, and its successor adopts the host; the host crashes, for good.
    Crash(Party),
}

impl Protocol {
    pub(crate) fn plan(&self, who: Who) -> &Plan {
        &self.plans[who.index()]
    }

    /// The same, with a mistake in it.
    pub(crate) fn with(mut self, flaw: Flaw) -> Self {
        self.rules.flaw = Some(flaw);
        self
    }

    /// The same, with clients that resume in this way.
    pub(crate) fn resuming_by(mut self, resume: Resume) -> Self {
        for plan in &mut self.plans {
            plan.resume = resume;
        }
        self
    }
}
