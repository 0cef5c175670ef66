//! A row of the table: what goes wrong, when, and what has to come of it.
//!
//! **Invariant:** an expectation is written from kernel.md and the table of errors in launch.proto, never from an answer.
use stagepages_kernel_model::{Call, Effect, Fault, Script};
use stagepages_proto::v1::{LaunchSpec, PageType, SevSnpFinish, SevSnpSettings};
use tonic::Code;

/// The GFN of the extent's first page.
pub(crate) const FIRST: u64 = 0x10;
/// A page in the middle of it.
pub(crate) const MIDDLE: u64 = FIRST + 3;
/// More often than any launch host tries.
pub(crate) const FOR_EVER: u64 = 10_000;

/// A reason and its code (launch.proto).
pub(crate) type Reason = (&'static str, Code);
pub(crate) const KERNEL_REFUSED: Reason = ("KERNEL_REFUSED", Code::Internal);
pub(crate) const FIRMWARE_REFUSED: Reason = ("FIRMWARE_REFUSED", Code::FailedPrecondition);
pub(crate) const CPUID_REJECTED: Reason = ("CPUID_REJECTED", Code::FailedPrecondition);
pub(crate) const NO_CAPACITY: Reason = ("NO_CAPACITY", Code::ResourceExhausted);
pub(crate) const UNAVAILABLE: Reason = ("PLATFORM_UNAVAILABLE", Code::FailedPrecondition);
pub(crate) const DIGEST_MISMATCH: Reason = ("DIGEST_MISMATCH", Code::FailedPrecondition);
pub(crate) const INVALID_LAUNCH: Reason = ("INVALID_LAUNCH", Code::InvalidArgument);

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What goes wrong.
    pub(crate) what: String,
    /// Where the kernel does that: file and function, as in kernel.md.
    pub(crate) source: &'static str,
    /// What the model is told.
    pub(crate) script: Script,
    /// The launch.
    pub(crate) spec: LaunchSpec,
    /// Which call it shows in; those before succeed.
    pub(crate) step: Step,
    /// What comes of it.
    pub(crate) expect: Expect,
}

/// The call that meets the fault.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// CreateLaunch.
    Create,
    /// StagePages of these pages from [`FIRST`] on, behind `before` pages of another extent.
    Stage {
        before: u64,
        page_type: PageType,
        pages: u64,
    },
    /// FinishLaunch, behind two pages.
    Finish(Option<SevSnpFinish>),
}

/// What has to come of a row.
#[derive(Clone, Debug)]
pub(crate) struct Expect {
    /// How the call is refused; `None` if it succeeds.
    pub(crate) refusal: Option<Told>,
    /// What the launch is afterwards.
    pub(crate) after: After,
    /// Pages that the call installed: its count, the ledger's, and the guest's.
    pub(crate) installed: u64,
    /// Pages in the guest that nobody can count, because the kernel could not say so.
    pub(crate) uncounted: u64,
    /// What the kernel was asked to install.
    pub(crate) asked: Asked,
}

/// What is left of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It takes pages: also the refused one, once the fault is over.
    Open,
    /// It is finished.
    Finished,
    /// ABORTED, by the platform.
    Aborted,
    /// There is none, and its name is free.
    None,
}

/// A refusal.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) reason: Reason,
    /// The kernel's name for the call; empty where the kernel was not asked.
    pub(crate) ioctl: &'static str,
    /// By name; empty for none.
    pub(crate) errno: &'static str,
    /// Firmware's status, where the kernel has one to tell.
    pub(crate) firmware: Option<u64>,
    /// The TDX module's status, where the kernel tells it.
    pub(crate) module: Option<u64>,
    /// Words for a person.
    pub(crate) says: Vec<&'static str>,
    /// The field that BadRequest blames; empty for none.
    pub(crate) blames: &'static str,
    /// Entries of a CPUID page that firmware would have otherwise.
    pub(crate) differences: u64,
}

/// The calls that install pages, in their order: first GFN and number of pages of each. `None` is a call that failed before KVM looked at
/// what it was asked.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// These.
    Exactly(Vec<Option<(u64, u64)>>),
    /// These, and then the last again and again, a bounded number of times.
    ThenAgain(Vec<Option<(u64, u64)>>),
}

/// A fault at a page.
pub(crate) fn at(call: Call, gfn: u64, effect: Effect) -> Fault {
    Fault::at(call, effect).on_gfn(gfn)
}

/// Firmware's status for a command or a page.
pub(crate) fn firmware(status: u64) -> Effect {
    Effect::Firmware {
        status,
        reclaim_fails: false,
    }
}

/// The call succeeds, wholly.
pub(crate) fn done() -> Expect {
    Expect {
        refusal: None,
        after: After::Open,
        installed: 0,
        uncounted: 0,
        asked: Asked::Exactly(Vec::new()),
    }
}

fn refused(reason: Reason, after: After) -> Expect {
    let told = Told {
        reason,
        ioctl: "",
        errno: "",
        firmware: None,
        module: None,
        says: Vec::new(),
        blames: "",
        differences: 0,
    };
    Expect {
        refusal: Some(told),
        after,
        ..done()
    }
}

/// The call is refused, and nothing is in doubt.
pub(crate) fn clean(reason: Reason) -> Expect {
    refused(reason, After::Open)
}

/// The call is refused, and the launch is over.
pub(crate) fn over(reason: Reason) -> Expect {
    refused(reason, After::Aborted)
}

/// The launch is not made.
pub(crate) fn no_launch(reason: Reason) -> Expect {
    refused(reason, After::None)
}

impl Expect {
    fn told(mut self, change: impl FnOnce(&mut Told)) -> Self {
        change(self.refusal.as_mut().expect("a refusal"));
        self
    }

    pub(crate) fn at(self, ioctl: &'static str) -> Self {
        self.told(|told| told.ioctl = ioctl)
    }

    pub(crate) fn errno(self, errno: &'static str) -> Self {
        self.told(|told| told.errno = errno)
    }

    pub(crate) fn firmware(self, status: u64) -> Self {
        self.told(|told| told.firmware = Some(status))
    }

    pub(crate) fn module(self, status: u64) -> Self {
        self.told(|told| told.module = Some(status))
    }

    pub(crate) fn says(self, words: &'static str) -> Self {
        self.told(|told| told.says.push(words))
    }

    pub(crate) fn blames(self, field: &'static str) -> Self {
        self.told(|told| told.blames = field)
    }

    pub(crate) fn differences(self, entries: u64) -> Self {
        self.told(|told| told.differences = entries)
    }

    pub(crate) fn installed(self, installed: u64) -> Self {
        Self { installed, ..self }
    }

    pub(crate) fn uncounted(self, uncounted: u64) -> Self {
        Self { uncounted, ..self }
    }

    /// The kernel is asked for these, and for nothing else.
    pub(crate) fn asked(self, calls: impl Into<Vec<Option<(u64, u64)>>>) -> Self {
        let asked = Asked::Exactly(calls.into());
        Self { asked, ..self }
    }

    /// The kernel is asked for these, and for the last of them a bounded number of times.
    pub(crate) fn asked_again(self, calls: impl Into<Vec<Option<(u64, u64)>>>) -> Self {
        let asked = Asked::ThenAgain(calls.into());
        Self { asked, ..self }
    }
}

impl Row {
    /// On a machine where nothing fails, a launch of one vCPU.
    pub(crate) fn new(what: impl Into<String>, source: &'static str) -> Self {
        Self {
            what: what.into(),
            source,
            script: Script::default(),
            spec: LaunchSpec::default(),
            step: Step::Create,
            expect: done(),
        }
    }

    pub(crate) fn fault(mut self, fault: Fault) -> Self {
        self.script.faults.push(fault);
        self
    }

    pub(crate) fn vcpus(mut self, vcpus: u32) -> Self {
        self.spec.vcpus = vcpus;
        self
    }

    pub(crate) fn settings(mut self, settings: SevSnpSettings) -> Self {
        self.spec.sev_snp = Some(settings);
        self
    }

    /// Eight NORMAL pages.
    pub(crate) fn stage(self, expect: Expect) -> Self {
        self.stage_pages(PageType::Normal, 8, expect)
    }

    /// One NORMAL page.
    pub(crate) fn stage_one(self, expect: Expect) -> Self {
        self.stage_pages(PageType::Normal, 1, expect)
    }

    pub(crate) fn stage_pages(mut self, page_type: PageType, pages: u64, expect: Expect) -> Self {
        self.step = Step::Stage {
            before: 2,
            page_type,
            pages,
        };
        self.expect = expect;
        self
    }

    /// Eight NORMAL pages, the launch's first.
    pub(crate) fn stage_first(mut self, expect: Expect) -> Self {
        self.step = Step::Stage {
            before: 0,
            page_type: PageType::Normal,
            pages: 8,
        };
        self.expect = expect;
        self
    }

    pub(crate) fn create(self, expect: Expect) -> Self {
        Self {
            step: Step::Create,
            expect,
            ..self
        }
    }

    pub(crate) fn finish(self, arguments: impl Into<Option<SevSnpFinish>>, expect: Expect) -> Self {
        Self {
            step: Step::Finish(arguments.into()),
            expect,
            ..self
        }
    }
}
