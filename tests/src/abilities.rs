//! What a platform can have: the one table of the differences that the suites know.
//!
//! A case asks its [`Bench`](crate::Bench) for the abilities of its platform where it differs in a detail, such as one page type more. A case that some
//! platform cannot have at all is a row of [`EXCEPTIONS`], and its [`Subjects`](crate::Subjects) are chosen by that row.
//!
//! **Invariant:** nothing is left out but what a row here names, and each row says why.
use stagepages_proto::v1::{PageType, Platform, PlatformInfo};

/// What launches on a platform can have.
#[derive(Debug, Clone, Copy)]
pub struct Abilities {
    /// It protects the guest's memory from this machine.
    pub confidential: bool,
    /// Types that StagePages takes.
    pub page_types: &'static [PageType],
    /// VerifyLaunch sees which pages exist and what they hold; and so can anybody else on this machine change them behind the product's back.
    pub open_memory: bool,
    /// Lengths that its launch digest may have, in bytes; 0 for none.
    pub digest_bytes: &'static [u32],
    /// The launch digest is SNP's, of pages and save areas, and so known beforehand.
    pub snp_digest: bool,
    /// It follows a script of faults.
    pub scripted: bool,
    /// vCPUs may begin in any state, and be told so before and after pages are staged.
    pub vcpu_states: bool,
    /// The first address, in bytes, that no region reaches.
    pub memory_end: u64,
}

/// Types that every platform takes.
const COMMON: &[PageType] = &[PageType::Normal, PageType::Zero, PageType::Unmeasured];
/// Types of a platform with SNP's firmware.
const SNP: &[PageType] = &[
    PageType::Normal,
    PageType::Zero,
    PageType::Unmeasured,
    PageType::Secrets,
    PageType::Cpuid,
];

/// The abilities of `platform`.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn abilities(platform: Platform) -> Abilities {
    let sim = Abilities {
        confidential: false,
        page_types: SNP,
        open_memory: true,
        digest_bytes: &[48],
        snp_digest: true,
        scripted: true,
        vcpu_states: true,
        memory_end: 1 << 52,
    };
    match platform {
        Platform::Sim => sim,
        Platform::Kvm => Abilities {
            page_types: COMMON,
            digest_bytes: &[0],
            snp_digest: false,
            scripted: false,
            ..sim
        },
        Platform::SevSnp => Abilities {
            confidential: true,
            open_memory: false,
            scripted: false,
            ..sim
        },
        Platform::Tdx => Abilities {
            confidential: true,
            page_types: COMMON,
            open_memory: false,
            // MRTD.
            digest_bytes: &[48],
            snp_digest: false,
            scripted: false,
            vcpu_states: false,
            // Bit 47, the highest of the guest's addresses, says that a page is shared.
            memory_end: 1 << 47,
        },
        Platform::Unspecified => panic!("no platform"),
    }
}

/// What a case cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// [`Abilities::open_memory`]: it writes to guest memory behind the product's back. Encrypted memory cannot be written to any purpose.
    OpenMemory,
    /// A launch digest to expect at finish.
    Digest,
    /// [`Abilities::snp_digest`]: it knows the digests of some pages.
    SnpDigest,
    /// [`Abilities::scripted`]: it has the platform itself fail. The model of the kernel fails by a script of its own, and has a suite for that.
    Script,
    /// The lack of [`Abilities::scripted`].
    NoScript,
    /// [`Abilities::vcpu_states`]: tdx makes vCPUs before its first page, and they begin where the TDX module lets them.
    VcpuStates,
    /// Guests that are staged only.
    NoGuests,
}

/// Every case that some platform cannot have, with what it needs.
pub const EXCEPTIONS: [(&str, Need); 11] = [
    // conformance
    ("a_page_that_was_changed_is_found", Need::OpenMemory),
    ("a_page_that_was_slipped_in_is_found", Need::OpenMemory),
    (
        "a_digest_that_differs_is_refused_and_the_launch_goes_on",
        Need::Digest,
    ),
    (
        "the_launch_digest_covers_pages_in_their_order",
        Need::SnpDigest,
    ),
    (
        "vcpus_are_told_how_to_begin_before_between_and_behind_the_pages",
        Need::VcpuStates,
    ),
    (
        "a_guest_that_cannot_run_here_is_not_started",
        Need::NoGuests,
    ),
    // black_box
    ("a_script_is_for_sim_only", Need::NoScript),
    // exactly_once
    (
        "behind_the_refusal_that_ends_the_launch_nothing_is_said_to_be_applied",
        Need::Script,
    ),
    (
        "the_call_that_ended_the_launch_is_told_with_its_count",
        Need::Script,
    ),
    (
        "a_call_that_takes_longer_than_the_lease_keeps_it",
        Need::Script,
    ),
    (
        "a_refusal_that_ends_the_launch_is_told_with_its_cause",
        Need::Script,
    ),
];

impl Need {
    /// What `case` needs.
    ///
    /// # Panics
    /// If it is no row of [`EXCEPTIONS`].
    #[must_use]
    pub fn of(case: &str) -> Self {
        let row = EXCEPTIONS.iter().find(|(named, _)| *named == case);
        row.unwrap_or_else(|| panic!("{case} is not in the table of tests/src/abilities.rs"))
            .1
    }

    /// Whether the platform of which the daemon says `info` has it.
    #[must_use]
    pub fn is_met(self, info: &PlatformInfo) -> bool {
        let abilities = abilities(info.platform());
        match self {
            Self::OpenMemory => abilities.open_memory,
            Self::Digest => info.launch_digest_bytes > 0,
            Self::SnpDigest => abilities.snp_digest,
            Self::Script => abilities.scripted,
            Self::NoScript => !abilities.scripted,
            Self::VcpuStates => abilities.vcpu_states,
            Self::NoGuests => !info.runs_guests,
        }
    }
}
