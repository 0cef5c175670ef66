//! Why a request was refused: what the caller can branch on, and what it can read.

use stagepages_kvm::{FirmwareStatus, Gpa, KvmError, PageType};

use super::{InTheWay, RejectedCpuid};

/// A stable reason. The daemon gives each the status code of the table in `launch.proto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The request makes no sense to the host.
    MalformedRequest,
    /// The extent's shape, or its type and source together.
    InvalidExtent,
    /// The platform has no such page type.
    UnsupportedPageType,
    /// Part of the extent is in no memory region.
    OutsideMemory,
    /// The first page exists.
    AlreadyInstalled,
    /// Not in this state.
    WrongState,
    /// The launch digest is another one.
    DigestMismatch,
    /// Settings that this platform cannot have.
    InvalidLaunch,
    /// The machine lacks what the platform needs.
    PlatformUnavailable,
    /// The kernel had no room.
    NoCapacity,
    /// Firmware corrected a CPUID page.
    CpuidRejected,
    /// Firmware refused.
    FirmwareRefused,
    /// The kernel refused, and its cause is not known or not harmless.
    KernelRefused,
    /// AbortLaunch stopped it.
    AbortedDuringCall,
    /// Too much waits already.
    QueueFull,
    /// Not this number's turn, or its answer is forgotten.
    OutOfSequence,
    /// The number was applied with other content.
    SequenceConflict,
    /// The name was applied with other content.
    RequestIdReused,
    /// No remembered answer.
    ResultNotFound,
    /// Behind a stop on its stream.
    NotApplied,
    /// A register that the vCPU does not allow.
    InvalidVcpuState,
    /// This host cannot do that.
    UnsupportedOperation,
    /// A stored image does not hold what was committed.
    ImageCorrupt,
}

/// What a platform said to a refused call, beyond errno and status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlatformWords {
    /// The kernel's name for the call that failed.
    pub ioctl: String,
    /// What the TDX module said.
    pub hw_error: Option<u64>,
    /// For `CpuidRejected`: the entries that differ.
    pub cpuid: CpuidWords,
}

/// Entries of a CPUID page that firmware would have otherwise, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpuidWords {
    /// How many there are.
    pub total: u64,
    /// The first, at most [`MAX_CPUID_WORDS`].
    pub first: Vec<String>,
}

/// Entries of a CPUID page that a refusal names.
pub const MAX_CPUID_WORDS: usize = 8;

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What the caller branches on.
    pub reason: Reason,
    /// What happened and what to do, for a person.
    pub message: String,
    /// Pages that this request installed all the same.
    pub installed_pages: u64,
    /// The page it is about.
    pub gpa: Option<Gpa>,
    /// Its type: of the installed page for `AlreadyInstalled`, else the submitted one.
    pub page_type: Option<PageType>,
    /// The kernel's errno.
    pub errno: Option<i32>,
    /// The firmware's status.
    pub firmware_status: Option<u32>,
    /// What else the platform said.
    pub platform: Option<Box<PlatformWords>>,
    /// The installed page in the way, for `AlreadyInstalled`.
    pub in_the_way: Option<InTheWay>,
    /// The launch's own digest, for `DigestMismatch`.
    pub actual_digest: Option<[u8; 48]>,
    /// The number that comes next, for `OutOfSequence`.
    pub next_sequence: Option<u64>,
    /// The wrong field, for `DigestMismatch` the one that names the other digest, for `InvalidVcpuState` its path in the vCPU's state, for example `long_mode.cr3`, for `InvalidLaunch` its path in the settings, for
    /// example `sev_snp.policy_number`; else empty.
    pub field: String,
}

impl Refusal {
    /// A refusal that is about the request as a whole.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            installed_pages: 0,
            gpa: None,
            page_type: None,
            errno: None,
            firmware_status: None,
            platform: None,
            in_the_way: None,
            actual_digest: None,
            next_sequence: None,
            field: String::new(),
        }
    }

    /// Names the page.
    #[must_use]
    pub fn at(mut self, gpa: Gpa, page_type: PageType) -> Self {
        self.gpa = Some(gpa);
        self.page_type = Some(page_type);
        self
    }

    /// Keeps what the kernel, the firmware and the TDX module said, and to what.
    #[must_use]
    pub fn kernel(mut self, error: &KvmError) -> Self {
        self.errno = error.errno();
        // SNP's commands have a status in any case; 0 says that it was not firmware that refused.
        let silent = error.op().starts_with("KVM_SEV_").then_some(0);
        let status = error.firmware_status().map(FirmwareStatus::get);
        self.firmware_status = status.or(silent);
        self.platform = Some(Box::new(PlatformWords {
            ioctl: error.op().to_owned(),
            hw_error: error.hw_error(),
            cpuid: CpuidWords::default(),
        }));
        self
    }
}

impl From<&RejectedCpuid> for CpuidWords {
    fn from(rejected: &RejectedCpuid) -> Self {
        let differences = rejected.differences();
        Self {
            total: differences.len() as u64,
            first: differences
                .iter()
                .take(MAX_CPUID_WORDS)
                .map(ToString::to_string)
                .collect(),
        }
    }
}
