//! What a stop of the platform means for the launch, and what the caller is told of it.
//!
//! | stop | verdict |
//! |---|---|
//! | the kernel asks to try again | again, a bounded number of times |
//! | firmware refused the page and the kernel took it back | clean: one page alone may be submitted again |
//! | firmware refused the page and the kernel could not take it back | in doubt, as firmware's refusal |
//! | the submitted bytes could not be read, before anything was asked of the platform | clean, unless the extent has pages installed |
//! | it came although every page was counted | in doubt: one of the two is not so |
//! | anything else | in doubt: what the page holds is not known, and the launch is over |
//!
//! **Invariant:** a cause is named only where it was reported; otherwise it is said that it was not.

use stagepages_kvm::{FirmwareStatus, GfnRange, KvmError, PageType};

use super::{CpuidWords, Reason, Refusal, RejectedCpuid, pages_at};
use crate::platform::Stop;

const OVER: &str = "the launch is over, start a new one";

/// How one platform stop is to be taken.
pub(super) enum Verdict {
    /// Ask again after a pause.
    Again(Refusal),
    /// Nothing is in doubt.
    Clean(Refusal),
    /// Nothing is in doubt, and the platform was not asked.
    Unasked(Refusal),
    /// It is over.
    InDoubt(Refusal),
}

impl Verdict {
    /// The same, for another reason.
    pub(super) fn because(self, reason: Reason) -> Self {
        let because = |refusal| Refusal { reason, ..refusal };
        match self {
            Self::Again(refusal) => Self::Again(because(refusal)),
            Self::Clean(refusal) => Self::Clean(because(refusal)),
            Self::Unasked(refusal) => Self::Unasked(because(refusal)),
            Self::InDoubt(refusal) => Self::InDoubt(because(refusal)),
        }
    }
}

/// The refusal of the first page of `range`, of which it is not known what it holds.
pub(super) fn in_doubt(range: GfnRange, page_type: PageType, what: &str) -> Refusal {
    let message = format!("{what}, at {}; {OVER}", pages_at(range));
    Refusal::new(Reason::KernelRefused, message).at(range.start().gpa(), page_type)
}

/// What a stop at the first page of `range` means.
pub(super) fn judge(stop: Option<Stop>, range: GfnRange, page_type: PageType) -> Verdict {
    let gpa = range.start().gpa();
    let doubt = |what: &str| in_doubt(range, page_type, what);
    match stop {
        None => Verdict::Again(doubt("the platform makes no progress and gives no reason")),
        Some(Stop::Again(error)) => {
            Verdict::Again(doubt(&format!("{error}, again after every retry")).kernel(&error))
        }
        // A status behind a write-back that cannot be is about no page in particular.
        Some(Stop::Kernel {
            error: error @ KvmError::Firmware { .. },
            known,
        }) => {
            let about = format!(" for the {page_type} page at GPA {gpa}");
            let message = format!("{}; {known}; {OVER}", by_firmware(&error, &about));
            let refusal = Refusal::new(Reason::FirmwareRefused, message).at(gpa, page_type);
            Verdict::InDoubt(refusal.kernel(&error))
        }
        Some(Stop::Kernel { error, known }) => {
            Verdict::InDoubt(doubt(&unreported(&error, &known)).kernel(&error))
        }
        Some(Stop::Stray { gfn, error }) => {
            let said = error.as_ref().map(|error| format!("{error}: "));
            let refusal = doubt(&format!(
                "{}the page at GPA {} exists although the ledger does not hold it, so it is not known what it holds",
                said.unwrap_or_default(),
                gfn.gpa()
            ));
            Verdict::InDoubt(match error {
                Some(error) => refusal.kernel(&error),
                None => Refusal {
                    errno: Some(17), // EEXIST, by any name
                    ..refusal
                },
            })
        }
        Some(Stop::Unread(error)) => {
            let message = format!(
                "the submitted bytes could not be read: {error}, for {}; the platform was asked for none of them, so where this extent has no page installed the launch goes on: submit it again",
                pages_at(range)
            );
            Verdict::Unasked(Refusal::new(Reason::KernelRefused, message).at(gpa, page_type))
        }
        Some(Stop::Source(error)) => Verdict::InDoubt(doubt(&format!(
            "the submitted bytes could not be read: {error}"
        ))),
        Some(Stop::CpuidRejected {
            error,
            submitted,
            corrected,
        }) => {
            let rejected = RejectedCpuid {
                gpa,
                submitted,
                corrected,
            };
            Verdict::Clean(cpuid_rejected(&error, &rejected))
        }
        Some(Stop::Firmware(error)) => {
            let message = format!(
                "{}; the page was taken back and may be submitted again if it was alone in its extent",
                by_firmware(&error, &format!(" for the {page_type} page at GPA {gpa}"))
            );
            let refusal = Refusal::new(Reason::FirmwareRefused, message).at(gpa, page_type);
            Verdict::Clean(refusal.kernel(&error))
        }
    }
}

/// The refusal of `range`, of which every page was counted, with a stop all the same.
pub(super) fn contradicted(stop: &Stop, range: GfnRange, page_type: PageType) -> Refusal {
    let what = "the platform counts all pages of a call as installed, and reports that it failed";
    match stop.error() {
        Some(error) => in_doubt(range, page_type, &format!("{error}: {what}")).kernel(error),
        None => in_doubt(range, page_type, what),
    }
}

/// The refusal of a CPUID page.
pub(super) fn cpuid_rejected(error: &KvmError, rejected: &RejectedCpuid) -> Refusal {
    let words = CpuidWords::from(rejected);
    let place = words.first.first().map_or_else(
        || rejected.beside_entries().to_owned(),
        |first| format!("in {} of its entries ({first})", words.total),
    );
    let message = format!(
        "firmware would have the CPUID page at GPA {} otherwise, {place}; GetRejectedCpuid has all of it: correct the table and submit it anew, it is never resubmitted as it is",
        rejected.gpa
    );
    let refusal = Refusal::new(Reason::CpuidRejected, message).at(rejected.gpa, PageType::Cpuid);
    let mut refusal = refusal.kernel(error);
    refusal.platform.get_or_insert_default().cpuid = words;
    refusal
}

/// What the launch is told of a platform that could not end staging, or start the guest.
pub(super) fn refused(stop: Stop) -> Refusal {
    match stop {
        Stop::Firmware(error) => {
            let message = format!("{}; {OVER}", by_firmware(&error, ""));
            Refusal::new(Reason::FirmwareRefused, message).kernel(&error)
        }
        Stop::Kernel { error, known } => {
            let message = format!("{}; {OVER}", unreported(&error, &known));
            Refusal::new(Reason::KernelRefused, message).kernel(&error)
        }
        Stop::Again(error) => {
            let message = format!("{error}, again after every retry; {OVER}");
            Refusal::new(Reason::KernelRefused, message).kernel(&error)
        }
        Stop::CpuidRejected { error, .. } => {
            let message = format!("{error}; {OVER}");
            Refusal::new(Reason::KernelRefused, message).kernel(&error)
        }
        Stop::Stray { gfn, .. } => Refusal::new(
            Reason::KernelRefused,
            format!("it stopped at GPA {}; {OVER}", gfn.gpa()),
        ),
        Stop::Unread(error) | Stop::Source(error) => {
            Refusal::new(Reason::KernelRefused, format!("{error}; {OVER}"))
        }
    }
}

/// Which command firmware refused, `about` what, with which status, what that means, and what an operator can do.
pub(crate) fn by_firmware(error: &KvmError, about: &str) -> String {
    let op = error.op();
    match error.firmware_status() {
        Some(status) => format!(
            "firmware refused {op}{about} with status {:#x} ({}): {}; {}",
            status.get(),
            FirmwareStatus::name(status),
            status.meaning(),
            status.remedy()
        ),
        None => format!("firmware refused{about}: {error}"),
    }
}

fn unreported(error: &KvmError, known: &str) -> String {
    if known.is_empty() {
        format!("{error}; the kernel does not report the cause")
    } else {
        format!("{error}; {known}")
    }
}
