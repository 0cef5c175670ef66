//! The stable reasons of failed calls, as the table in `proto/stagepages/v1/launch.proto` promises them to clients.
//!
//! **Invariant:** a reason never changes its spelling or its code; clients branch on it.

use std::fmt;

use tonic::Code;

/// Why a call failed. What a variant says of the launch is in the table of the proto.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request breaks a rule of its own fields, or is no well-formed gRPC message.
    MalformedRequest,
    /// A message above the limit that GetNodeInfo advertises.
    MessageTooLarge,
    /// Alignment, length, overflow or source of an extent.
    InvalidExtent,
    /// The platform has no such page type.
    UnsupportedPageType,
    /// The id, the spec or the digest of a launch.
    InvalidLaunch,
    /// A register that the vCPU does not allow.
    InvalidVcpuState,
    /// Part of the extent lies in no memory region.
    OutsideMemory,
    /// The first page of the extent exists.
    AlreadyInstalled,
    /// The id is in use by a launch with another spec.
    LaunchExists,
    /// The connection does not prove who the caller is, or does not any more.
    Unauthenticated,
    /// The policy does not let the caller do this.
    Permission,
    /// No such launch, or the uid names an earlier one.
    LaunchNotFound,
    /// The launch's state does not allow the call.
    WrongState,
    /// The launch digest is not the expected one.
    DigestMismatch,
    /// The machine lacks what the platform needs.
    PlatformUnavailable,
    /// No such method, or one that this daemon cannot serve.
    UnsupportedOperation,
    /// Firmware corrected a CPUID page.
    CpuidRejected,
    /// Firmware refused a page or a command.
    FirmwareRefused,
    /// The kernel refused, or holds a page that the ledger does not.
    KernelRefused,
    /// The launch host died.
    HostDied,
    /// AbortLaunch ended the call's extent between two chunks.
    AbortedDuringCall,
    /// No memory or no room for one more launch.
    NoCapacity,
    /// Too many calls wait for this launch.
    QueueFull,
    /// The daemon is shutting down.
    Draining,
    /// The audit log cannot be written.
    AuditUnavailable,
    /// The launch host did not answer in time.
    HostUnreachable,
    /// The caller's deadline passed.
    DeadlineExpired,
    /// A defect of the daemon.
    InternalError,
    /// Not this number's turn, or its answer is no longer kept.
    OutOfSequence,
    /// The number was applied with other content.
    SequenceConflict,
    /// The name was applied with other content.
    RequestIdReused,
    /// No such call was applied, or its answer is no longer kept.
    ResultNotFound,
    /// Behind a stop on its stream.
    NotApplied,
    /// No such image, or none that is stored for the caller.
    ImageNotFound,
    /// A stored image does not hold what was committed.
    ImageCorrupt,
    /// Larger than an image may be.
    ImageTooLarge,
    /// What was written is not what the image's name says.
    ImageDigestMismatch,
    /// Another offset is the next to be written.
    ImageOffset,
    /// A later call writes the same upload.
    ImageWriteSuperseded,
    /// Calls stage from the image.
    ImageInUse,
    /// More than a quota allows.
    QuotaExceeded,
    /// The call's deadline cannot be met.
    DeadlineUnreachable,
    /// Nobody touched the launch for as long as its lease.
    LeaseExpired,
}

impl Reason {
    /// The reason as clients see it in `google.rpc.ErrorInfo`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The gRPC code that goes with it.
    #[must_use]
    pub fn code(self) -> Code {
        self.row().1
    }

    fn row(self) -> (&'static str, Code) {
        match self {
            Self::MalformedRequest => ("MALFORMED_REQUEST", Code::InvalidArgument),
            Self::MessageTooLarge => ("MESSAGE_TOO_LARGE", Code::InvalidArgument),
            Self::InvalidExtent => ("INVALID_EXTENT", Code::InvalidArgument),
            Self::UnsupportedPageType => ("UNSUPPORTED_PAGE_TYPE", Code::InvalidArgument),
            Self::InvalidLaunch => ("INVALID_LAUNCH", Code::InvalidArgument),
            Self::InvalidVcpuState => ("INVALID_VCPU_STATE", Code::InvalidArgument),
            Self::OutsideMemory => ("OUTSIDE_MEMORY", Code::OutOfRange),
            Self::AlreadyInstalled => ("ALREADY_INSTALLED", Code::AlreadyExists),
            Self::LaunchExists => ("LAUNCH_EXISTS", Code::AlreadyExists),
            Self::LaunchNotFound => ("LAUNCH_NOT_FOUND", Code::NotFound),
            Self::WrongState => ("WRONG_STATE", Code::FailedPrecondition),
            Self::DigestMismatch => ("DIGEST_MISMATCH", Code::FailedPrecondition),
            Self::PlatformUnavailable => ("PLATFORM_UNAVAILABLE", Code::FailedPrecondition),
            Self::UnsupportedOperation => ("UNSUPPORTED_OPERATION", Code::Unimplemented),
            Self::CpuidRejected => ("CPUID_REJECTED", Code::FailedPrecondition),
            Self::FirmwareRefused => ("FIRMWARE_REFUSED", Code::FailedPrecondition),
            Self::KernelRefused => ("KERNEL_REFUSED", Code::Internal),
            Self::HostDied => ("HOST_DIED", Code::Internal),
            Self::AbortedDuringCall => ("ABORTED_DURING_CALL", Code::Aborted),
            Self::NoCapacity => ("NO_CAPACITY", Code::ResourceExhausted),
            Self::QueueFull => ("QUEUE_FULL", Code::ResourceExhausted),
            Self::Draining => ("DRAINING", Code::Unavailable),
            Self::AuditUnavailable => ("AUDIT_UNAVAILABLE", Code::Unavailable),
            Self::HostUnreachable => ("HOST_UNREACHABLE", Code::Unavailable),
            Self::DeadlineExpired => ("DEADLINE_EXPIRED", Code::DeadlineExceeded),
            Self::InternalError => ("INTERNAL_ERROR", Code::Internal),
            Self::OutOfSequence => ("OUT_OF_SEQUENCE", Code::Aborted),
            Self::SequenceConflict => ("SEQUENCE_CONFLICT", Code::Aborted),
            Self::RequestIdReused => ("REQUEST_ID_REUSED", Code::Aborted),
            Self::ResultNotFound => ("RESULT_NOT_FOUND", Code::NotFound),
            Self::NotApplied => ("NOT_APPLIED", Code::Aborted),
            Self::ImageNotFound => ("IMAGE_NOT_FOUND", Code::NotFound),
            Self::ImageCorrupt => ("IMAGE_CORRUPT", Code::DataLoss),
            Self::ImageTooLarge => ("IMAGE_TOO_LARGE", Code::InvalidArgument),
            Self::ImageDigestMismatch => ("IMAGE_DIGEST_MISMATCH", Code::InvalidArgument),
            Self::ImageOffset => ("IMAGE_OFFSET", Code::Aborted),
            Self::ImageWriteSuperseded => ("IMAGE_WRITE_SUPERSEDED", Code::Aborted),
            Self::ImageInUse => ("IMAGE_IN_USE", Code::FailedPrecondition),
            Self::QuotaExceeded => ("QUOTA_EXCEEDED", Code::ResourceExhausted),
            Self::DeadlineUnreachable => ("DEADLINE_UNREACHABLE", Code::ResourceExhausted),
            Self::LeaseExpired => ("LEASE_EXPIRED", Code::FailedPrecondition),
            Self::Unauthenticated => ("UNAUTHENTICATED", Code::Unauthenticated),
            Self::Permission => ("PERMISSION", Code::PermissionDenied),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTO: &str = concat!(
        include_str!("../../../proto/stagepages/v1/launch.proto"),
        include_str!("../../../proto/stagepages/v1/image.proto")
    );

    const ALL: [Reason; 43] = [
        Reason::MalformedRequest,
        Reason::MessageTooLarge,
        Reason::InvalidExtent,
        Reason::UnsupportedPageType,
        Reason::InvalidLaunch,
        Reason::InvalidVcpuState,
        Reason::OutsideMemory,
        Reason::AlreadyInstalled,
        Reason::LaunchExists,
        Reason::LaunchNotFound,
        Reason::WrongState,
        Reason::DigestMismatch,
        Reason::PlatformUnavailable,
        Reason::UnsupportedOperation,
        Reason::CpuidRejected,
        Reason::FirmwareRefused,
        Reason::KernelRefused,
        Reason::HostDied,
        Reason::AbortedDuringCall,
        Reason::NoCapacity,
        Reason::QueueFull,
        Reason::Draining,
        Reason::AuditUnavailable,
        Reason::HostUnreachable,
        Reason::DeadlineExpired,
        Reason::InternalError,
        Reason::OutOfSequence,
        Reason::SequenceConflict,
        Reason::RequestIdReused,
        Reason::ResultNotFound,
        Reason::NotApplied,
        Reason::ImageNotFound,
        Reason::ImageCorrupt,
        Reason::ImageTooLarge,
        Reason::ImageDigestMismatch,
        Reason::ImageOffset,
        Reason::ImageWriteSuperseded,
        Reason::ImageInUse,
        Reason::QuotaExceeded,
        Reason::DeadlineUnreachable,
        Reason::LeaseExpired,
        Reason::Unauthenticated,
        Reason::Permission,
    ];

    /// `InvalidArgument` as `INVALID_ARGUMENT`.
    fn screaming(code: Code) -> String {
        let mut out = String::new();
        for c in format!("{code:?}").chars() {
            if c.is_uppercase() && !out.is_empty() {
                out.push('_');
            }
            out.extend(c.to_uppercase());
        }
        out
    }

    #[test]
    fn every_reason_stands_in_the_contract_with_its_code() {
        for reason in ALL {
            let row = PROTO
                .lines()
                .filter(|line| line.starts_with("// | "))
                .find(|line| {
                    line.split([' ', ',', ':'])
                        .any(|word| word == reason.as_str())
                })
                .unwrap_or_else(|| panic!("{reason} is not in the table of launch.proto"));
            let code = row.split('|').nth(2).unwrap().trim();
            assert_eq!(code, screaming(reason.code()), "{reason}");
        }
    }

    #[test]
    fn every_reason_of_the_contract_exists() {
        let table = PROTO
            .lines()
            .skip_while(|line| !line.starts_with("// | reason"))
            .skip(2)
            .take_while(|line| line.starts_with("// | "));
        for row in table {
            let names = row.split('|').nth(1).unwrap();
            let names = names.split(':').next().unwrap().split(" (").next().unwrap();
            for name in names.split(',').map(str::trim) {
                assert!(ALL.iter().any(|reason| reason.as_str() == name), "{name}");
            }
        }
    }
}
