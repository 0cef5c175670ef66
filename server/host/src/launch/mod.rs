//! A launch: the state machine that every request goes through, one after the other, on one thread.
//!
//! ```text
//!                     ┌───────── install ─────────┐
//!                     ▼                           │
//!  Open (CREATED until the ledger holds a page, then STAGING) ──finish──▶ Finished ──start──▶ Running ──▶ Stopped
//!     └──abort / platform refusal in doubt──▶ Aborted ◀──abort──┴──abort / refused start──┘       │
//!                                                └──────────────── abort, once it has stopped ──┘
//! ```
//!
//! - **Open** holds the platform and the books: ledger, digest, vCPU states. Everything that can be refused is refused before the first page is touched;
//!   what the platform confirmed is in the ledger before anything else happens.
//! - **Finished** holds the same, and no way to install.
//! - **Running** holds the guest that the platform became, and the books. That the guest stopped is told from outside, by [`Launch::stopped`]:
//!   asking it to ([`Launch::stop`], [`Launch::abort`]) changes nothing by itself, and so never waits.
//! - **Stopped** holds the books, and why. The VM's memory is gone.
//! - **Aborted** holds the cause and the ledger, to be read once more. The platform is dropped on the way in, and the VM's memory with it.
//!
//! Inside, a phase is a type and every transition consumes it: what a refusal leaves behind is [`AfterInstall`], so that "refused,
//! unchanged" and "aborted" cannot be confused. At the edge, [`Launch`] is an enum stepped by value.
//!
//! **Invariant:** no page is handed to the platform that the ledger holds, and no page enters the ledger that the platform did not confirm.

mod answers;
mod between;
mod books;
mod compare;
#[cfg(test)]
mod doubt_tests;
#[cfg(test)]
mod fault_tests;
mod finish;
mod guard;
#[cfg(test)]
mod guard_tests;
mod image;
#[cfg(test)]
mod image_tests;
mod install;
mod judge;
#[cfg(test)]
mod judge_tests;
mod measure;
mod once;
#[cfg(test)]
mod once_tests;
mod open;
mod refusal;
mod rejected_cpuid;
mod retry;
mod running;
mod runs;
mod spent;
mod stop_flag;
#[cfg(test)]
mod tests;
mod verify;
#[cfg(test)]
mod wide_tests;

use stagepages_kvm::GfnRange;

use crate::{guest::GuestStop, ledger::Ledger, protocol, settings::FinishArgs};
use books::Books;
pub(crate) use judge::by_firmware;
pub(crate) use measure::MEASURING_PAGES;

pub use answers::{Answered, Answers, Applied, CallKey, MAX_REQUEST_ID, REPLAY_WINDOW, RequestId};
pub use between::Between;
pub use compare::InTheWay;
pub use image::Proof;
pub use install::{AfterInstall, Extent, Installation};
pub use open::Open;
pub use refusal::{CpuidWords, MAX_CPUID_WORDS, PlatformWords, Reason, Refusal};
pub use rejected_cpuid::RejectedCpuid;
pub use running::{Running, Stopped};
pub use runs::{Listing, Order, RunsPage, cut};
pub use spent::{Lap, Spent};
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
    /// The launch digest that the launch is expected to end in, if it is finished with the first [`measured_pages`](Self::measured_pages) pages and its
    /// vCPUs as they would begin; `None` where the platform has none, and in `Aborted` if the thread that computes it had died.
    pub digest: Option<[u8; 48]>,
    /// How many pages the digest covers: all that are installed once the launch has [settled](Launch::settle), fewer while calls run. 0 without a digest.
    pub measured_pages: u64,
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
    ledger: Ledger,
}

/// A finished launch.
#[derive(Debug)]
pub struct Finished {
    open: Open,
    /// What it was finished with; a repeat has to bring the same.
    args: FinishArgs,
}

/// A launch in whatever phase it is.
#[derive(Debug)]
pub enum Launch {
    /// CREATED or STAGING.
    Open(Open),
    /// FINISHED.
    Finished(Finished),
    /// RUNNING.
    Running(Running),
    /// STOPPED.
    Stopped(Stopped),
    /// ABORTED.
    Aborted(Aborted),
}

impl Aborted {
    /// Drops the launch's platform, and the VM's memory with it.
    fn bury(open: Open, cause: AbortCause) -> Self {
        let Open {
            platform,
            mut books,
        } = open;
        drop(platform);
        if let Err(error) = books.settle() {
            // What covers the first pages alone would be told for ever, with nobody to say that no more of it comes.
            tracing::error!(%error, "the digest of an aborted launch is not known");
            books.measure = None;
        }
        Self::close(books, cause)
    }

    /// Keeps of the books what is told of an ended launch.
    fn close(books: Books, cause: AbortCause) -> Self {
        let last = Snapshot {
            abort: Some(cause),
            ..books.snapshot(State::Aborted)
        };
        let Books {
            answers, ledger, ..
        } = books;
        Self {
            last,
            answers,
            ledger,
        }
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
            Self::Finished(finished) => finished.open.books.snapshot(State::Finished),
            Self::Running(running) => running.books.snapshot(State::Running),
            Self::Stopped(stopped) => stopped.snapshot(),
            Self::Aborted(aborted) => aborted.last.clone(),
        }
    }

    /// Waits until the digest covers all that is installed, so that a snapshot says what there is: a moment at most. A launch of which the digest will not be
    /// known is over.
    #[must_use]
    pub fn settle(self) -> Self {
        match self {
            Self::Open(open) => open.settle(),
            // Settled on the way there.
            Self::Finished(_) | Self::Running(_) | Self::Stopped(_) | Self::Aborted(_) => self,
        }
    }

    /// Sets how a vCPU begins; the last call for a vCPU counts.
    ///
    /// # Errors
    /// Only in CREATED and STAGING; `MalformedRequest` and `InvalidVcpuState` for what a vCPU cannot be. Nothing changed then.
    pub fn set_vcpu(&mut self, vcpu: &protocol::Vcpu) -> Result<(), Refusal> {
        match self {
            Self::Open(open) => open.set_vcpu(vcpu),
            Self::Finished(_) | Self::Running(_) | Self::Stopped(_) | Self::Aborted(_) => Err(self
                .wrong_state(
                    "set a vCPU's state",
                    "only a CREATED or STAGING launch takes it; create a new launch",
                )),
        }
    }

    /// Ends staging. A repeat with the same arguments is accepted again.
    ///
    /// # Errors
    /// A digest that differs, in the arguments or in their ID block, and arguments that have no place here leave the launch as it is; a refusal by the platform ends it.
    pub fn finish(self, args: &FinishArgs) -> (Self, Result<(), Refusal>) {
        match self {
            Self::Open(open) => open.finish(args),
            Self::Finished(Finished {
                args: ref first, ..
            })
            | Self::Running(Running {
                args: ref first, ..
            })
            | Self::Stopped(Stopped {
                args: ref first, ..
            }) if first == args => (self, Ok(())),
            Self::Finished(_) | Self::Running(_) | Self::Stopped(_) | Self::Aborted(_) => {
                let refusal =
                    self.wrong_state("finish", "it was finished with other arguments, or is over");
                (self, Err(refusal))
            }
        }
    }

    /// Ends the launch, whatever it is in. One whose guest runs is ABORTED once that has stopped, which it is asked to.
    #[must_use]
    pub fn abort(self, reason: AbortReason) -> Self {
        match self {
            Self::Open(open) | Self::Finished(Finished { open, .. }) => {
                Self::Aborted(Aborted::bury(open, AbortCause::told(reason)))
            }
            Self::Running(running) => Self::Running(running.abort(reason)),
            Self::Stopped(_) | Self::Aborted(_) => self,
        }
    }

    /// The CPUID page that firmware refused last.
    ///
    /// # Errors
    /// `ResultNotFound` if there is none, or the launch is over.
    pub fn rejected_cpuid(&self) -> Result<&RejectedCpuid, Refusal> {
        let rejected = match self {
            Self::Open(open) | Self::Finished(Finished { open, .. }) => &open.books.rejected_cpuid,
            Self::Running(running) => &running.books.rejected_cpuid,
            Self::Stopped(_) | Self::Aborted(_) => &None,
        };
        let rejected = rejected.as_ref().map(|(rejected, _)| rejected);
        rejected.ok_or_else(|| {
            let text = "firmware refused no CPUID page of this launch, or the launch is over and the page with it";
            Refusal::new(Reason::ResultNotFound, text)
        })
    }

    /// All answers that the launch remembers.
    pub fn remembered(&self) -> impl Iterator<Item = &Answered> {
        self.answers().all()
    }

    /// Checks ledger, existence and contents against each other. Calls `beat` now and then, to show that it gets on.
    ///
    /// # Errors
    /// Not once the guest has run, and not in ABORTED; and what the kernel said to looking.
    pub fn verify(&self, beat: &dyn Fn()) -> Result<VerifyReport, Refusal> {
        match self {
            Self::Open(open) | Self::Finished(Finished { open, .. }) => open.verify(beat),
            Self::Running(_) | Self::Stopped(_) => {
                Err(self.wrong_state("verify", "its guest has run, and memory is the guest's own"))
            }
            Self::Aborted(_) => Err(self.wrong_state("verify", "its pages are gone")),
        }
    }

    /// A part of the ledger: at most `max_runs` runs from position `from` on, in whatever state the launch is.
    #[must_use]
    pub fn runs(&self, order: Order, from: u64, hashes: bool, max_runs: usize) -> RunsPage {
        runs::of_ledger(self.ledger(), order, from, hashes, max_runs)
    }

    fn ledger(&self) -> &Ledger {
        match self {
            Self::Aborted(aborted) => &aborted.ledger,
            Self::Open(open) | Self::Finished(Finished { open, .. }) => &open.books.ledger,
            Self::Running(running) => &running.books.ledger,
            Self::Stopped(stopped) => &stopped.books.ledger,
        }
    }

    fn books(&self) -> Option<&Books> {
        match self {
            Self::Open(open) | Self::Finished(Finished { open, .. }) => Some(&open.books),
            Self::Running(running) => Some(&running.books),
            Self::Stopped(stopped) => Some(&stopped.books),
            Self::Aborted(_) => None,
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
