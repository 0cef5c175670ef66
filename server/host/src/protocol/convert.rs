//! From messages to types and back. What comes from a peer is refused where it makes no sense.

use stagepages_kvm::{Gfn, GfnRange, Gpa, PageType};

use super as m;
use crate::{
    guest::{ConsolePort, GuestStop, StopReason},
    launch::{
        AbortCause, AbortReason, Answered, CallKey, CpuidWords, FindingKind, InTheWay,
        Installation, MAX_CPUID_WORDS, PlatformWords, Reason, Refusal, RequestId, Snapshot, State,
    },
    platform::PlatformKind,
};

/// A message that a peer of this version does not send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unexpected {field} in a message of the private protocol: {value}")]
pub struct BadMessage {
    /// The field.
    pub field: &'static str,
    /// What it held.
    pub value: String,
}

impl BadMessage {
    /// Names the field and what it held.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers pass numbers and texts alike"
    )]
    pub fn new(field: &'static str, value: impl ToString) -> Self {
        Self {
            field,
            value: value.to_string(),
        }
    }
}

impl From<BadMessage> for Refusal {
    fn from(error: BadMessage) -> Self {
        Self::new(Reason::MalformedRequest, error.to_string())
    }
}

/// Gives an enumeration its numbers on the wire: the position in the list, from 1 on. Append only.
macro_rules! numbered {
    ($type:ty, $field:literal, [$($variant:path),+ $(,)?]) => {
        impl $type {
            const NUMBERED: &[Self] = &[$($variant),+];

            /// Its number in the private protocol.
            #[must_use]
            pub fn number(self) -> u32 {
                (1..).zip(Self::NUMBERED).find(|(_, known)| **known == self).map_or(0, |(number, _)| number)
            }

            /// Whose number it is.
            ///
            /// # Errors
            /// A number that this version does not know.
            pub fn from_number(number: u32) -> Result<Self, BadMessage> {
                (1..).zip(Self::NUMBERED).find(|(known, _)| *known == number).map(|(_, variant)| *variant).ok_or_else(|| BadMessage::new($field, number))
            }
        }
    };
}

numbered!(
    PlatformKind,
    "platform",
    [
        PlatformKind::Sim,
        PlatformKind::Kvm,
        PlatformKind::SevSnp,
        PlatformKind::Tdx
    ]
);
numbered!(
    State,
    "state",
    [
        State::Created,
        State::Staging,
        State::Finished,
        State::Aborted,
        State::Running,
        State::Stopped
    ]
);
numbered!(
    StopReason,
    "stop reason",
    [
        StopReason::Requested,
        StopReason::Halted,
        StopReason::ExitCode,
        StopReason::Shutdown,
        StopReason::TripleFault,
        StopReason::InternalError,
        StopReason::MemoryFault
    ]
);
numbered!(
    ConsolePort,
    "console port",
    [ConsolePort::Serial, ConsolePort::Debug]
);
numbered!(
    AbortReason,
    "abort reason",
    [
        AbortReason::Requested,
        AbortReason::LeaseExpired,
        AbortReason::PlatformRefused
    ]
);
numbered!(
    FindingKind,
    "finding",
    [
        FindingKind::Missing,
        FindingKind::Stray,
        FindingKind::Contents
    ]
);
numbered!(
    Reason,
    "reason",
    [
        Reason::MalformedRequest,
        Reason::InvalidExtent,
        Reason::UnsupportedPageType,
        Reason::OutsideMemory,
        Reason::AlreadyInstalled,
        Reason::WrongState,
        Reason::DigestMismatch,
        Reason::InvalidLaunch,
        Reason::PlatformUnavailable,
        Reason::NoCapacity,
        Reason::CpuidRejected,
        Reason::FirmwareRefused,
        Reason::KernelRefused,
        Reason::AbortedDuringCall,
        Reason::QueueFull,
        Reason::OutOfSequence,
        Reason::SequenceConflict,
        Reason::RequestIdReused,
        Reason::ResultNotFound,
        Reason::NotApplied,
        Reason::InvalidVcpuState,
        Reason::UnsupportedOperation,
        Reason::ImageCorrupt,
    ]
);

const PAGE_TYPES: [PageType; 5] = [
    PageType::Normal,
    PageType::Zero,
    PageType::Unmeasured,
    PageType::Secrets,
    PageType::Cpuid,
];

/// The number of a page type in the private protocol.
#[must_use]
pub fn page_type_number(page_type: PageType) -> u32 {
    (1..)
        .zip(PAGE_TYPES)
        .find(|(_, known)| *known == page_type)
        .map_or(0, |(number, _)| number)
}

/// Whose number it is.
///
/// # Errors
/// A number that this version does not know.
pub fn page_type_from_number(number: u32) -> Result<PageType, BadMessage> {
    (1..)
        .zip(PAGE_TYPES)
        .find(|(known, _)| *known == number)
        .map(|(_, known)| known)
        .ok_or_else(|| BadMessage::new("page_type", number))
}

fn digest(bytes: &[u8]) -> Result<Option<[u8; 48]>, BadMessage> {
    if bytes.is_empty() {
        return Ok(None);
    }
    bytes
        .try_into()
        .map(Some)
        .map_err(|_wrong_length| BadMessage::new("digest length", bytes.len()))
}

impl From<&Snapshot> for m::Snapshot {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            state: snapshot.state.number(),
            installed_pages: snapshot.installed_pages,
            digest: snapshot.digest.map(Vec::from).unwrap_or_default(),
            measured_pages: snapshot.digest.map(|_| snapshot.measured_pages),
            abort: snapshot.abort.as_ref().map(|cause| m::AbortCause {
                reason: cause.reason.number(),
                message: cause.message.clone(),
            }),
            next_sequence: snapshot.next_sequence,
            stop: snapshot.stop.as_ref().map(m::GuestStop::from),
        }
    }
}

impl TryFrom<m::Snapshot> for Snapshot {
    type Error = BadMessage;

    fn try_from(snapshot: m::Snapshot) -> Result<Self, BadMessage> {
        Ok(Self {
            state: State::from_number(snapshot.state)?,
            installed_pages: snapshot.installed_pages,
            // One that a host of before version 5 told is of the pages alone, and nothing that the launch would end in.
            digest: digest(&snapshot.digest)?.filter(|_| snapshot.measured_pages.is_some()),
            measured_pages: snapshot.measured_pages.unwrap_or(0),
            abort: snapshot.abort.map(AbortCause::try_from).transpose()?,
            next_sequence: snapshot.next_sequence,
            stop: snapshot.stop.map(GuestStop::try_from).transpose()?,
        })
    }
}

impl From<&GuestStop> for m::GuestStop {
    fn from(stop: &GuestStop) -> Self {
        Self {
            reason: stop.reason.number(),
            message: stop.message.clone(),
            vcpu: stop.vcpu,
            exit_code: stop.exit_code,
            gpa: stop.gpa.map(Gpa::get),
        }
    }
}

impl TryFrom<m::GuestStop> for GuestStop {
    type Error = BadMessage;

    fn try_from(stop: m::GuestStop) -> Result<Self, BadMessage> {
        Ok(Self {
            reason: StopReason::from_number(stop.reason)?,
            message: stop.message,
            vcpu: stop.vcpu,
            exit_code: stop.exit_code,
            gpa: stop.gpa.map(Gpa::new),
        })
    }
}

impl TryFrom<m::AbortCause> for AbortCause {
    type Error = BadMessage;

    fn try_from(cause: m::AbortCause) -> Result<Self, BadMessage> {
        Ok(Self {
            reason: AbortReason::from_number(cause.reason)?,
            message: cause.message,
        })
    }
}

/// The name of a call on the wire, empty for none.
///
/// # Errors
/// A name that is too long.
pub fn request_id(bytes: &[u8]) -> Result<Option<RequestId>, BadMessage> {
    if bytes.is_empty() {
        return Ok(None);
    }
    RequestId::new(bytes)
        .map(Some)
        .ok_or_else(|| BadMessage::new("request_id length", bytes.len()))
}

impl From<&Installation> for m::Staged {
    fn from(installation: &Installation) -> Self {
        Self {
            installed_pages: installation.installed_pages,
            stop: installation.in_the_way.as_ref().map(m::Stop::from),
            spent: None,
        }
    }
}

impl TryFrom<m::Staged> for Installation {
    type Error = BadMessage;

    fn try_from(staged: m::Staged) -> Result<Self, BadMessage> {
        Ok(Self {
            installed_pages: staged.installed_pages,
            in_the_way: staged.stop.map(InTheWay::try_from).transpose()?,
        })
    }
}

impl From<&Answered> for m::Remembered {
    fn from(answered: &Answered) -> Self {
        let CallKey {
            sequence,
            request_id,
        } = &answered.key;
        let call = m::Stage {
            gpa: answered.range.start().gpa().get(),
            length: answered.range.bytes(),
            page_type: page_type_number(answered.page_type),
            staging_offset: (!answered.blank).then_some(0),
            sequence: *sequence,
            request_id: request_id
                .as_ref()
                .map(|id| id.as_bytes().to_vec())
                .unwrap_or_default(),
            stream: 0,
            image: None,
        };
        let (staged, refused) = match &answered.applied {
            Ok(installation) => (Some(installation.into()), None),
            Err(refusal) => (None, Some(refusal.as_ref().into())),
        };
        Self {
            call: Some(call),
            staged,
            refused,
        }
    }
}

impl TryFrom<m::Remembered> for Answered {
    type Error = BadMessage;

    fn try_from(remembered: m::Remembered) -> Result<Self, BadMessage> {
        let call = remembered
            .call
            .ok_or_else(|| BadMessage::new("call", "none"))?;
        let applied = match (remembered.staged, remembered.refused) {
            (Some(staged), None) => Ok(staged.try_into()?),
            (None, Some(refused)) => Err(Box::new(refused.try_into()?)),
            (Some(_), Some(_)) | (None, None) => {
                return Err(BadMessage::new("answer", "both or none"));
            }
        };
        Ok(Self {
            key: CallKey {
                sequence: call.sequence,
                request_id: request_id(&call.request_id)?,
            },
            range: GfnRange::from_bytes(Gpa::new(call.gpa), call.length)
                .map_err(|error| BadMessage::new("range", error))?,
            page_type: page_type_from_number(call.page_type)?,
            blank: call.staging_offset.is_none(),
            first_ordinal: 0,
            rest: None,
            applied,
        })
    }
}

impl From<&InTheWay> for m::Stop {
    fn from(found: &InTheWay) -> Self {
        Self {
            gpa: found.gfn.gpa().get(),
            page_type: page_type_number(found.page_type),
            identical_pages: found.identical_pages,
        }
    }
}

impl TryFrom<m::Stop> for InTheWay {
    type Error = BadMessage;

    fn try_from(stop: m::Stop) -> Result<Self, BadMessage> {
        let gfn = Gfn::new(stop.gpa / stagepages_kvm::PAGE_SIZE)
            .ok_or_else(|| BadMessage::new("gpa", stop.gpa))?;
        Ok(Self {
            gfn,
            page_type: page_type_from_number(stop.page_type)?,
            identical_pages: stop.identical_pages,
        })
    }
}

impl From<&Refusal> for m::Refused {
    fn from(refusal: &Refusal) -> Self {
        Self {
            reason: refusal.reason.number(),
            message: refusal.message.clone(),
            installed_pages: refusal.installed_pages,
            gpa: refusal.gpa.map(Gpa::get),
            page_type: refusal.page_type.map(page_type_number),
            errno: refusal.errno,
            firmware_status: refusal.firmware_status,
            stop: refusal.in_the_way.as_ref().map(m::Stop::from),
            actual_digest: refusal.actual_digest.map(Vec::from).unwrap_or_default(),
            next_sequence: refusal.next_sequence,
            field: refusal.field.clone(),
            platform: refusal.platform.as_ref().map(|words| m::PlatformWords {
                ioctl: words.ioctl.clone(),
                hw_error: words.hw_error,
                cpuid_differences: words.cpuid.total,
                cpuid_words: words.cpuid.first.clone(),
            }),
            spent: None,
        }
    }
}

impl TryFrom<m::Refused> for Refusal {
    type Error = BadMessage;

    fn try_from(refused: m::Refused) -> Result<Self, BadMessage> {
        Ok(Self {
            reason: Reason::from_number(refused.reason)?,
            message: refused.message,
            installed_pages: refused.installed_pages,
            gpa: refused.gpa.map(Gpa::new),
            page_type: refused.page_type.map(page_type_from_number).transpose()?,
            errno: refused.errno,
            firmware_status: refused.firmware_status,
            in_the_way: refused.stop.map(InTheWay::try_from).transpose()?,
            actual_digest: digest(&refused.actual_digest)?,
            next_sequence: refused.next_sequence,
            field: refused.field,
            platform: refused.platform.map(|words| Box::new(words.into())),
        })
    }
}

impl From<m::PlatformWords> for PlatformWords {
    fn from(words: m::PlatformWords) -> Self {
        let mut first = words.cpuid_words;
        first.truncate(MAX_CPUID_WORDS);
        Self {
            ioctl: words.ioctl,
            hw_error: words.hw_error,
            cpuid: CpuidWords {
                total: words.cpuid_differences,
                first,
            },
        }
    }
}
