//! An error status, taken apart and held to what the API promises of every error.
//!
//! **Invariant:** no refusal gets past here without its reason, its domain, its code, its bounds and a message that serves a person.
use std::collections::HashMap;

use stagepages_kvm::Gpa;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Details never exceed this, because clients cap metadata at twice as much.
const DETAILS_BOUND: usize = 4096;

/// An error of the API.
#[derive(Debug)]
pub struct Refusal {
    /// The stable reason.
    pub reason: String,
    /// What a person reads.
    pub message: String,
    metadata: HashMap<String, String>,
    details: ErrorDetails,
}

/// The refusal that `result` must be, with the reason `reason` and the code that goes with it.
///
/// # Panics
/// If the call succeeded, was refused otherwise, or breaks a promise that holds for every error.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T, Status>, reason: &str) -> Refusal {
    let status = match result {
        Ok(answer) => panic!("expected {reason}, was answered {answer:?}"),
        Err(status) => status,
    };
    let refusal = Refusal::of(&status);
    assert_eq!(refusal.reason, reason, "{status:?}");
    refusal
}

impl Refusal {
    /// Takes `status` apart.
    ///
    /// # Panics
    /// If it breaks a promise that holds for every error.
    #[track_caller]
    #[must_use]
    pub fn of(status: &Status) -> Self {
        let details = status
            .check_error_details()
            .unwrap_or_else(|error| panic!("details that do not decode, {error}: {status:?}"));
        let info = details
            .error_info()
            .unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
        assert_eq!(info.domain, "stagepages", "{status:?}");
        assert_eq!(status.code(), code_of(&info.reason), "{status:?}");
        assert!(
            status.details().len() <= DETAILS_BOUND,
            "{} bytes of details: {status:?}",
            status.details().len()
        );

        // grpcurl may print details as base64, so the message alone has to do.
        let message = status.message();
        assert!(
            message.contains(&info.reason),
            "the message does not say {}: {message}",
            info.reason
        );
        assert!(
            message.len() > info.reason.len() + 10,
            "the message says nothing beyond its reason: {message}"
        );
        assert!(
            message.len() <= 2048,
            "a message of {} bytes",
            message.len()
        );
        assert!(
            !message.contains(char::is_control),
            "control characters of a caller reached the message: {message:?}"
        );

        Self {
            reason: info.reason.clone(),
            message: message.to_owned(),
            metadata: info.metadata.clone(),
            details: details.clone(),
        }
    }

    /// A value of the metadata.
    ///
    /// # Panics
    /// If it is not there.
    #[track_caller]
    #[must_use]
    pub fn meta(&self, key: &str) -> &str {
        self.metadata
            .get(key)
            .unwrap_or_else(|| panic!("no {key:?} in the metadata: {self:?}"))
    }

    /// Whether the metadata has a value for `key`.
    #[must_use]
    pub fn has_meta(&self, key: &str) -> bool {
        self.metadata.contains_key(key)
    }

    /// A number of the metadata, written in decimal, or in hex behind `0x`.
    ///
    /// # Panics
    /// If it is not there or no number.
    #[track_caller]
    #[must_use]
    pub fn number(&self, key: &str) -> u64 {
        let text = self.meta(key);
        let parsed = match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => text.parse(),
        };
        parsed.unwrap_or_else(|error| panic!("{key} = {text:?} is no number, {error}: {self:?}"))
    }

    /// Asserts the address in the metadata, and that the message names it too.
    ///
    /// # Panics
    /// If it is another one.
    #[track_caller]
    pub fn at(&self, gpa: Gpa) -> &Self {
        let hex = format!("0x{:x}", gpa.get());
        assert_eq!(self.meta("gpa"), hex, "{self:?}");
        assert!(
            self.message.contains(&hex),
            "the message does not name {hex}: {self:?}"
        );
        self
    }

    /// Asserts how many pages the refused call installed.
    ///
    /// # Panics
    /// If it is another number.
    #[track_caller]
    pub fn installed(&self, pages: u64) -> &Self {
        assert_eq!(self.number("installed_pages"), pages, "{self:?}");
        self
    }

    /// Asserts the state of the launch behind the refusal, by its name without prefix.
    ///
    /// # Panics
    /// If it is another one.
    #[track_caller]
    pub fn state(&self, state: &str) -> &Self {
        assert_eq!(self.meta("launch_state"), state, "{self:?}");
        self
    }

    /// Asserts that BadRequest blames a field whose path starts with `path`.
    ///
    /// # Panics
    /// If it blames none such.
    #[track_caller]
    pub fn blames(&self, path: &str) -> &Self {
        let fields = self
            .details
            .bad_request()
            .map_or(&[][..], |bad| &bad.field_violations);
        assert!(
            fields
                .iter()
                .any(|violation| violation.field.starts_with(path)),
            "does not blame {path}: {self:?}"
        );
        assert!(
            fields
                .iter()
                .all(|violation| !violation.description.is_empty()),
            "blames without a word: {self:?}"
        );
        self
    }

    /// Asserts that a PreconditionFailure says what is not met, and where.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn has_precondition(&self) -> &Self {
        let violations = self
            .details
            .precondition_failure()
            .map_or(&[][..], |failure| &failure.violations);
        assert!(!violations.is_empty(), "no PreconditionFailure: {self:?}");
        assert!(
            violations
                .iter()
                .all(|violation| !violation.description.is_empty()),
            "a precondition without a word: {self:?}"
        );
        self
    }

    /// Holds the error to naming, in QuotaFailure, this bound of the policy, and nothing else.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn has_quota(&self, bound: &str) -> &Self {
        let failure = self.details.quota_failure();
        let named: Vec<_> = failure
            .map(|failure| {
                failure
                    .violations
                    .iter()
                    .map(|found| found.subject.as_str())
                    .collect()
            })
            .unwrap_or_default();
        assert_eq!(named, [bound], "{self:?}");
        assert!(
            self.message.contains("ask who keeps the daemon's policy"),
            "{self:?}"
        );
        self
    }

    /// Asserts that a RetryInfo says when to try again.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn has_retry(&self) -> &Self {
        assert!(
            self.details
                .retry_info()
                .is_some_and(|retry| retry.retry_delay.is_some()),
            "no RetryInfo: {self:?}"
        );
        self
    }
}

/// The code of each reason, by the tables in launch.proto and image.proto.
#[track_caller]
fn code_of(reason: &str) -> Code {
    match reason {
        "MALFORMED_REQUEST"
        | "MESSAGE_TOO_LARGE"
        | "INVALID_EXTENT"
        | "UNSUPPORTED_PAGE_TYPE"
        | "INVALID_LAUNCH"
        | "INVALID_VCPU_STATE"
        | "IMAGE_TOO_LARGE"
        | "IMAGE_DIGEST_MISMATCH" => Code::InvalidArgument,
        "OUTSIDE_MEMORY" => Code::OutOfRange,
        "ALREADY_INSTALLED" | "LAUNCH_EXISTS" => Code::AlreadyExists,
        "LAUNCH_NOT_FOUND" | "RESULT_NOT_FOUND" | "IMAGE_NOT_FOUND" => Code::NotFound,
        "WRONG_STATE"
        | "DIGEST_MISMATCH"
        | "PLATFORM_UNAVAILABLE"
        | "LEASE_EXPIRED"
        | "CPUID_REJECTED"
        | "IMAGE_IN_USE"
        | "FIRMWARE_REFUSED" => Code::FailedPrecondition,
        "UNSUPPORTED_OPERATION" => Code::Unimplemented,
        "KERNEL_REFUSED" | "HOST_DIED" | "INTERNAL_ERROR" => Code::Internal,
        "ABORTED_DURING_CALL"
        | "OUT_OF_SEQUENCE"
        | "SEQUENCE_CONFLICT"
        | "REQUEST_ID_REUSED"
        | "NOT_APPLIED"
        | "IMAGE_OFFSET"
        | "IMAGE_WRITE_SUPERSEDED" => Code::Aborted,
        "IMAGE_CORRUPT" => Code::DataLoss,
        "NO_CAPACITY" | "QUEUE_FULL" | "QUOTA_EXCEEDED" | "DEADLINE_UNREACHABLE" => {
            Code::ResourceExhausted
        }
        "DRAINING" | "AUDIT_UNAVAILABLE" | "HOST_UNREACHABLE" => Code::Unavailable,
        "UNAUTHENTICATED" => Code::Unauthenticated,
        "PERMISSION" => Code::PermissionDenied,
        "DEADLINE_EXPIRED" => Code::DeadlineExceeded,
        other => panic!("{other} is not in the table of reasons"),
    }
}
