//! A launch: the state machine that every request goes through, one after the other, on one thread.
//!
//! ```text
//!                     ┌───────── install ─────────┐
//!                     ▼                           │
//!  Open (CREATED until the ledger holds a page, then STAGING) ──finish──▶ Finished
//!     └──abort / platform refusal in doubt──▶ Aborted ◀──abort──┘
//! ```
//!
//! - **Open** holds the platform, the ledger and the digest. Everything that can be refused is refused before the first page is touched;
//!   what the platform confirmed is in the ledger before anything else happens.
//! - **Finished** holds the same, and no way to install.
//! - **Aborted** holds the cause. The platform is dropped on the way in, and the VM's memory with it.
//!
//! Inside, a phase is a type and every transition consumes it: what a refusal leaves behind is [`AfterInstall`], so that "refused,
//! unchanged" and "aborted" cannot be confused. At the edge, [`Launch`] is an enum stepped by value.
//!
//! **Invariant:** no page is handed to the platform that the ledger holds, and no page enters the ledger that the platform did not confirm.

mod answers;
mod compare;
#[cfg(test)]
mod fault_tests;
mod finish;
mod install;
mod once;
#[cfg(test)]
mod once_tests;
mod open;
mod refusal;
mod retry;
mod runs;
mod stop_flag;
#[cfg(test)]
mod tests;
mod verify;

use stagepages_kvm::GfnRange;

use crate::guest::GuestStop;

pub use answers::{Answered, Answers, Applied, CallKey, MAX_REQUEST_ID, REPLAY_WINDOW, RequestId};
pub use compare::InTheWay;
pub use install::{AfterInstall, Extent, Installation};
pub use open::Open;
pub use refusal::{Reason, Refusal};
pub use runs::{Order, RunsPage};
pub use stop_flag::StopFlag;
pub use verify::{Finding, FindingKind, VerifyReport};

/// Where a launch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No page is installed.
    Created,
    /// At least one is.
    Staging,
    /// Staging is over.
    Finished,
    /// The launch is over.
    Aborted,
    /// The guest runs.
    Running,
    /// The guest ran, and has stopped.
    Stopped,
}

/// In which order a launch takes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ordering {
    /// As they come.
    #[default]
    Unordered,
    /// By their numbers, without a gap.
    Sequenced,
}

/// Who ended a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbortReason {
    /// AbortLaunch.
    Requested,
    /// Its lease ran out.
    LeaseExpired,
    /// The platform refused.
    PlatformRefused,
}

/// Why a launch is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbortCause {
    /// Who ended it.
    pub reason: AbortReason,
    /// For a person.
    pub message: String,
}

/// A launch at one moment, for those who only look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Where it is.
    pub state: State,
    /// Distinct pages installed.
    pub installed_pages: u64,
    /// The launch digest of these, where the platform has one.
    pub digest: Option<[u8; 48]>,
    /// Why it is over, in `Aborted`.
    pub abort: Option<AbortCause>,
    /// The number of the next call, if calls are numbered.
    pub next_sequence: u64,
    /// Why the guest stopped, in `Stopped`.
    pub stop: Option<GuestStop>,
}

/// What an aborted launch leaves behind.
#[derive(Debug)]
pub struct Aborted {
    last: Snapshot,
    answers: Answers,
}

/// A finished launch.
#[derive(Debug)]
pub struct Finished {
    open: Open,
    /// What the caller expected; a repeat has to expect the same.
    expected: Vec<u8>,
}

/// A launch in whatever phase it is.
#[derive(Debug)]
pub enum Launch {
    /// CREATED or STAGING.
    Open(Open),
    /// FINISHED.
    Finished(Finished),
    /// ABORTED.
    Aborted(Aborted),
}

impl Aborted {
    /// Drops the launch's platform, and the VM's memory with it.
    fn bury(mut open: Open, cause: AbortCause) -> Self {
        let last = Snapshot {
            state: State::Aborted,
            abort: Some(cause),
            ..open.snapshot()
        };
        let answers = std::mem::take(&mut open.answers);
        drop(open);
        Self { last, answers }
    }

    /// Remembers the call that ended the launch.
    fn remember(&mut self, answered: Answered) {
        self.answers.remember(answered);
        self.last.next_sequence = self.answers.next_sequence();
    }
}

impl AbortCause {
    /// A cause that needs no more words than its reason.
    #[must_use]
    pub fn told(reason: AbortReason) -> Self {
        let message = match reason {
            AbortReason::Requested => "aborted on request",
            AbortReason::LeaseExpired => "nobody touched the launch for as long as its lease",
            AbortReason::PlatformRefused => "the platform refused",
        };
        Self {
            reason,
            message: message.to_owned(),
        }
    }
}

impl Launch {
    /// The launch as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        match self {
            Self::Open(open) => open.snapshot(),
            Self::Finished(finished) => Snapshot {
                state: State::Finished,
                ..finished.open.snapshot()
            },
            Self::Aborted(aborted) => aborted.last.clone(),
        }
    }

    /// Ends staging. A repeat with the same `expected` digest is accepted again.
    ///
    /// # Errors
    /// A digest that differs or has no place here leaves the launch as it is; a refusal by the platform ends it.
    pub fn finish(self, expected: &[u8]) -> (Self, Result<(), Refusal>) {
        match self {
            Self::Open(open) => open.finish(expected),
            Self::Finished(finished) if finished.expected == expected => {
                (Self::Finished(finished), Ok(()))
            }
            Self::Finished(_) | Self::Aborted(_) => {
                let refusal = self.wrong_state(
                    "finish",
                    "it was finished with another expected_launch_digest, or is over",
                );
                (self, Err(refusal))
            }
        }
    }

    /// Ends the launch, whatever it is in.
    #[must_use]
    pub fn abort(self, reason: AbortReason) -> Self {
        match self {
            Self::Open(open) | Self::Finished(Finished { open, .. }) => {
                Self::Aborted(Aborted::bury(open, AbortCause::told(reason)))
            }
            Self::Aborted(aborted) => Self::Aborted(aborted),
        }
    }

    /// All answers that the launch remembers.
    pub fn remembered(&self) -> impl Iterator<Item = &Answered> {
        self.answers().all()
    }

    /// Checks ledger, existence and contents against each other.
    ///
    /// # Errors
    /// Not in ABORTED; and what the kernel said to looking.
    pub fn verify(&self) -> Result<VerifyReport, Refusal> {
        self.living("verify")?.verify()
    }

    /// A part of the ledger.
    ///
    /// # Errors
    /// Not in ABORTED.
    pub fn runs(
        &self,
        order: Order,
        from: u64,
        hashes: bool,
        max_runs: usize,
    ) -> Result<RunsPage, Refusal> {
        Ok(self
            .living("list pages")?
            .runs(order, from, hashes, max_runs))
    }

    fn living(&self, doing: &str) -> Result<&Open, Refusal> {
        match self {
            Self::Open(open) | Self::Finished(Finished { open, .. }) => Ok(open),
            Self::Aborted(_) => Err(self.wrong_state(doing, "its pages are gone")),
        }
    }

    fn wrong_state(&self, doing: &str, way_out: &str) -> Refusal {
        let state = self.snapshot().state;
        Refusal::new(
            Reason::WrongState,
            format!("cannot {doing}: the launch is {state}; {way_out}"),
        )
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Created => "CREATED",
            Self::Staging => "STAGING",
            Self::Finished => "FINISHED",
            Self::Aborted => "ABORTED",
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        })
    }
}

/// Pages of `range`, for messages: `0x1000 (3 pages)`.
fn pages_at(range: GfnRange) -> String {
    format!("GPA {} ({} pages)", range.start().gpa(), range.pages())
}
