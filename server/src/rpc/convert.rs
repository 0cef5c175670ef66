//! Between the API's types and the launch host's.

use stagepages_host::{
    guest::{GuestStop, StopReason},
    launch::{
        FindingKind, InTheWay, Installation, MAX_CPUID_WORDS, PlatformWords, Reason as Told,
        Refusal, State,
    },
    platform::PlatformKind,
};
use stagepages_kvm::{FirmwareStatus, GfnRange, Gpa, PAGE_SIZE, PageType, errno_name};
use stagepages_proto::v1;

use super::{reason::Reason, status::ApiError};

/// A place in the queue for firmware.
pub(crate) fn place(place: &stagepages_schedule::Place) -> v1::QueuePlace {
    v1::QueuePlace {
        position: u32::try_from(place.position).unwrap_or(u32::MAX),
        pages_ahead: place.pages_ahead,
        expected_time: prost_types::Duration::try_from(place.eta).ok(),
    }
}

/// Keys of the metadata that name entries of a refused CPUID page.
const CPUID_DIFFERENCES: [&str; MAX_CPUID_WORDS] = [
    "cpuid_difference_1",
    "cpuid_difference_2",
    "cpuid_difference_3",
    "cpuid_difference_4",
    "cpuid_difference_5",
    "cpuid_difference_6",
    "cpuid_difference_7",
    "cpuid_difference_8",
];

/// A state, on the wire.
#[must_use]
pub fn state(state: State) -> v1::LaunchState {
    match state {
        State::Created => v1::LaunchState::Created,
        State::Staging => v1::LaunchState::Staging,
        State::Finished => v1::LaunchState::Finished,
        State::Aborted => v1::LaunchState::Aborted,
        State::Running => v1::LaunchState::Running,
        State::Stopped => v1::LaunchState::Stopped,
    }
}

/// A page type, on the wire.
#[must_use]
pub fn page_type(page_type: PageType) -> v1::PageType {
    match page_type {
        PageType::Normal => v1::PageType::Normal,
        PageType::Zero => v1::PageType::Zero,
        PageType::Unmeasured => v1::PageType::Unmeasured,
        PageType::Secrets => v1::PageType::Secrets,
        PageType::Cpuid => v1::PageType::Cpuid,
    }
}

/// A platform, on the wire.
#[must_use]
pub fn platform(kind: PlatformKind) -> v1::Platform {
    match kind {
        PlatformKind::Sim => v1::Platform::Sim,
        PlatformKind::Kvm => v1::Platform::Kvm,
        PlatformKind::SevSnp => v1::Platform::SevSnp,
        PlatformKind::Tdx => v1::Platform::Tdx,
    }
}

/// A platform from the wire; `None` if it is unspecified.
///
/// # Errors
/// The number, if no platform has it.
pub fn platform_from(number: i32) -> Result<Option<PlatformKind>, i32> {
    match v1::Platform::try_from(number) {
        Ok(v1::Platform::Unspecified) => Ok(None),
        Ok(v1::Platform::Sim) => Ok(Some(PlatformKind::Sim)),
        Ok(v1::Platform::Kvm) => Ok(Some(PlatformKind::Kvm)),
        Ok(v1::Platform::SevSnp) => Ok(Some(PlatformKind::SevSnp)),
        Ok(v1::Platform::Tdx) => Ok(Some(PlatformKind::Tdx)),
        Err(unknown) => Err(unknown.0),
    }
}

/// A finding, on the wire.
#[must_use]
pub fn finding(kind: FindingKind) -> v1::FindingKind {
    match kind {
        FindingKind::Missing => v1::FindingKind::Missing,
        FindingKind::Stray => v1::FindingKind::Stray,
        FindingKind::Contents => v1::FindingKind::Contents,
    }
}

/// The installed page that stopped a call, on the wire.
#[must_use]
pub fn stop(found: &InTheWay) -> v1::StageStop {
    v1::StageStop {
        gpa: found.gfn.gpa().get(),
        page_type: page_type(found.page_type).into(),
        identical: found.identical_pages > 0,
        identical_pages: found.identical_pages,
    }
}

/// Why a guest stopped, on the wire.
#[must_use]
pub fn guest_stop(stop: &GuestStop) -> v1::StopCause {
    let reason = match stop.reason {
        StopReason::Requested => v1::StopReason::Requested,
        StopReason::Halted => v1::StopReason::Halted,
        StopReason::ExitCode => v1::StopReason::ExitCode,
        StopReason::Shutdown => v1::StopReason::Shutdown,
        StopReason::TripleFault => v1::StopReason::TripleFault,
        StopReason::InternalError => v1::StopReason::InternalError,
        StopReason::MemoryFault => v1::StopReason::MemoryFault,
    };
    v1::StopCause {
        reason: reason.into(),
        message: stop.message.clone(),
        vcpu: stop.vcpu,
        exit_code: stop.exit_code,
        gpa: stop.gpa.map(Gpa::get),
    }
}

/// What a host refused, as the caller is told: the host's words, and all it knows as metadata.
#[must_use]
pub fn refusal(refusal: &Refusal) -> ApiError {
    let reason = match refusal.reason {
        // All but the rules of `sequence`, which only the launch knows, were checked before the host was asked.
        Told::MalformedRequest => Reason::MalformedRequest,
        Told::InvalidExtent => Reason::InvalidExtent,
        Told::UnsupportedPageType => Reason::UnsupportedPageType,
        Told::OutsideMemory => Reason::OutsideMemory,
        Told::AlreadyInstalled => Reason::AlreadyInstalled,
        Told::WrongState => Reason::WrongState,
        Told::DigestMismatch => Reason::DigestMismatch,
        Told::InvalidLaunch => Reason::InvalidLaunch,
        Told::PlatformUnavailable => Reason::PlatformUnavailable,
        Told::NoCapacity => Reason::NoCapacity,
        Told::CpuidRejected => Reason::CpuidRejected,
        Told::FirmwareRefused => Reason::FirmwareRefused,
        Told::KernelRefused => Reason::KernelRefused,
        Told::AbortedDuringCall => Reason::AbortedDuringCall,
        Told::QueueFull => Reason::QueueFull,
        Told::OutOfSequence => Reason::OutOfSequence,
        Told::SequenceConflict => Reason::SequenceConflict,
        Told::RequestIdReused => Reason::RequestIdReused,
        Told::ResultNotFound => Reason::ResultNotFound,
        Told::NotApplied => Reason::NotApplied,
        Told::InvalidVcpuState => Reason::InvalidVcpuState,
        Told::UnsupportedOperation => Reason::UnsupportedOperation,
        Told::ImageCorrupt => Reason::ImageCorrupt,
    };
    let mut error = ApiError::new(reason, refusal.message.as_str());
    if let Some(gpa) = refusal.gpa {
        error = error.gpa(gpa);
    }
    if let Some(page_type) = refusal.page_type {
        error = error.meta("page_type", page_type);
    }
    if let Some(errno) = refusal.errno {
        error = error.meta("errno", errno_name(errno));
    }
    let platform = refusal.platform.as_deref();
    if let Some(words) = platform {
        error = error.meta("ioctl", &words.ioctl);
    }
    if let Some(status) = refusal.firmware_status {
        error = error.meta("firmware_status", format_args!("{status:#x}"));
        if status != 0 {
            error = error.meta("firmware_status_name", FirmwareStatus::new(status).name());
        }
    }
    if let Some(hw_error) = platform.and_then(|words| words.hw_error) {
        error = error.meta("hw_error", format_args!("{hw_error:#x}"));
    }
    if refusal.reason == Told::CpuidRejected
        && let Some(PlatformWords { cpuid, .. }) = platform
    {
        error = error.meta("cpuid_differences", cpuid.total);
        for (key, words) in CPUID_DIFFERENCES.into_iter().zip(&cpuid.first) {
            error = error.meta(key, words);
        }
    }
    if let Some(digest) = refusal.actual_digest {
        error = error.meta("actual", hex(&digest));
    }
    if let Some(next) = refusal.next_sequence {
        error = error.meta("next_sequence", next);
    }
    if refusal.reason == Told::AlreadyInstalled {
        let identical_pages = refusal.in_the_way.map_or(0, |found| found.identical_pages);
        error = error
            .meta("identical", identical_pages > 0)
            .meta("identical_pages", identical_pages);
    }
    error
}

/// What a call installed, on the wire.
#[must_use]
pub fn staged(range: GfnRange, installation: &Installation) -> v1::StagePagesResponse {
    v1::StagePagesResponse {
        installed_pages: installation.installed_pages,
        next_gpa: range.start().gpa().get() + installation.installed_pages * PAGE_SIZE,
        stop: installation.in_the_way.as_ref().map(stop),
    }
}

/// Bytes as hex digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
