//! A refusal by the daemon: what happened, the stable reason, what is known of the launch, and what to do.
//!
//! Clients branch on [`StagepagesError::reason`] (constants in [`crate::reason`]), never on the code or the message.
//!
//! **Invariant:** never invents metadata: what the daemon did not say, or said in a form that cannot be read, is `None`.

use std::{collections::BTreeMap, error::Error, fmt, time::Duration};

use tonic::{Code, Status};

mod status;

use crate::{addr::Gpa, reason, v1, words};

/// The `google.rpc.ErrorInfo` domain of this API; a reason of another domain (a proxy's) is not ours to interpret.
pub const DOMAIN: &str = "stagepages";

/// An error answer, or the lack of an answer, of one RPC.
///
/// `Display` is one line: what happened, then what to do.
#[derive(Clone, Debug)]
pub struct StagepagesError(Box<Answer>);

/// Boxed, so that a `Result` of it stays small.
#[derive(Clone, Debug)]
struct Answer {
    code: Code,
    reason: Option<String>,
    message: String,
    metadata: BTreeMap<String, String>,
    violations: Vec<Violation>,
    retry_after: Option<Duration>,
    breaks_contract: bool,
    request: Option<String>,
}

/// One thing that is wrong: a field of the request, a precondition, or a quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field's path, or the subject of the precondition or quota.
    pub subject: String,
    /// What is wrong with it.
    pub description: String,
}

impl StagepagesError {
    /// The gRPC code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The stable reason; `None` if the answer did not come from the daemon (a lost connection, a proxy).
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// What happened, in the daemon's words, control characters escaped.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// All metadata of the error, by key.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.0.metadata
    }

    /// What is wrong, thing by thing: fields of a bad request, failed preconditions, exceeded quotas.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.0.violations
    }

    /// How long to wait before a repeat, where the daemon said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The id by which the call is found in the daemon's log.
    #[must_use]
    pub fn request(&self) -> Option<&str> {
        self.0.request.as_deref()
    }

    /// The launch, launches/{id}.
    #[must_use]
    pub fn launch(&self) -> Option<&str> {
        self.get("launch")
    }

    /// The page in question.
    #[must_use]
    pub fn gpa(&self) -> Option<Gpa> {
        self.get("gpa")?.parse().ok()
    }

    /// The type of the page in question.
    #[must_use]
    pub fn page_type(&self) -> Option<v1::PageType> {
        words::parse_page_type(self.get("page_type")?)
    }

    /// Pages that the refused call installed before it was refused.
    #[must_use]
    pub fn installed_pages(&self) -> Option<u64> {
        self.get("installed_pages")?.parse().ok()
    }

    /// The state of the launch after the refusal.
    #[must_use]
    pub fn launch_state(&self) -> Option<v1::LaunchState> {
        words::parse_launch_state(self.get("launch_state")?)
    }

    /// The kernel's errno, by name.
    #[must_use]
    pub fn errno(&self) -> Option<&str> {
        self.get("errno")
    }

    /// The firmware's status, as the daemon wrote it.
    #[must_use]
    pub fn firmware_status(&self) -> Option<&str> {
        self.get("firmware_status")
    }

    /// ALREADY_INSTALLED: whether the page is as the caller wants it.
    #[must_use]
    pub fn identical(&self) -> Option<bool> {
        self.get("identical")?.parse().ok()
    }

    /// ALREADY_INSTALLED: how many consecutive pages, from this one on, are.
    #[must_use]
    pub fn identical_pages(&self) -> Option<u64> {
        self.get("identical_pages")?.parse().ok()
    }

    /// CPUID_REJECTED: the first entries that firmware would have otherwise, in the daemon's words; how many differ in all is
    /// `cpuid_differences` in the metadata.
    pub fn cpuid_differences(&self) -> impl Iterator<Item = &str> {
        let keys = (1_u32..).map(|nth| format!("cpuid_difference_{nth}"));
        keys.map_while(|key| self.get(&key))
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        self.reason()
            .and_then(reason::remedy)
            .unwrap_or_else(|| remedy_by_code(self.code()))
    }

    /// What happened, behind the reason, which the daemon's messages have already.
    #[must_use]
    pub fn what(&self) -> String {
        match self.reason() {
            Some(reason) if !self.message().contains(reason) => {
                format!("{reason}: {}", self.message())
            }
            _ => self.message().to_owned(),
        }
    }

    /// A refusal that this client gives in the daemon's stead, with the daemon's own reason, before anything is sent.
    pub(crate) fn refused_here(
        code: Code,
        reason: &str,
        message: String,
        metadata: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Self {
        let metadata = metadata
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        Self(Box::new(Answer {
            code,
            reason: Some(reason.to_owned()),
            message,
            metadata,
            violations: Vec::new(),
            retry_after: None,
            breaks_contract: false,
            request: None,
        }))
    }

    /// An answer that breaks the contract.
    pub(crate) fn bad_answer(message: impl Into<String>) -> Self {
        let mut error = Self::from(Status::internal(message));
        error.0.breaks_contract = true;
        error
    }

    /// Whether this client found the daemon's answer to break the contract; then a repeat cannot mend it.
    #[must_use]
    pub fn breaks_contract(&self) -> bool {
        self.0.breaks_contract
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.metadata.get(key).map(String::as_str)
    }
}

impl fmt::Display for StagepagesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what(), self.remedy())
    }
}

// No source: `message` already carries what a lost connection was caused by.
impl Error for StagepagesError {}

/// For answers without a reason of ours: they come from the connection or from something between.
fn remedy_by_code(code: Code) -> &'static str {
    match code {
        Code::Unavailable | Code::Unknown | Code::Aborted | Code::DataLoss => {
            "check that the daemon runs, then see what is installed with `stagectl launch pages LAUNCH`; a repeat counts pages that are there as wanted as identical"
        }
        Code::DeadlineExceeded | Code::Cancelled => {
            reason::remedy(reason::DEADLINE_EXPIRED).unwrap_or_default()
        }
        Code::Unauthenticated | Code::PermissionDenied => {
            "use an identity that this daemon lets in"
        }
        Code::Unimplemented => {
            "client and daemon differ in version, or this is not a stagepages daemon: check --endpoint and `stagectl node`"
        }
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Internal => {
            "the answer is not in the API's terms: compare the versions of client and daemon (`stagectl node`), and look into the daemon's log"
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    fn refusal(
        code: Code,
        reason: &str,
        domain: &str,
        metadata: &[(&str, &str)],
    ) -> StagepagesError {
        let metadata: Vec<(String, String)> = metadata
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        Status::with_error_details(
            code,
            "page at GPA 0x5000 is already installed",
            ErrorDetails::with_error_info(
                reason,
                domain,
                metadata
                    .into_iter()
                    .collect::<std::collections::HashMap<_, _>>(),
            ),
        )
        .into()
    }

    #[test]
    fn metadata_is_typed() {
        let error = refusal(
            Code::AlreadyExists,
            reason::ALREADY_INSTALLED,
            DOMAIN,
            &[
                ("launch", "launches/vm-1"),
                ("gpa", "0x5000"),
                ("page_type", "NORMAL"),
                ("identical", "true"),
                ("identical_pages", "3"),
                ("installed_pages", "0"),
                ("launch_state", "STAGING"),
            ],
        );
        assert_eq!(error.reason(), Some(reason::ALREADY_INSTALLED));
        assert_eq!(
            (error.launch(), error.gpa()),
            (Some("launches/vm-1"), Some(Gpa::new(0x5000)))
        );
        assert_eq!(
            (error.page_type(), error.launch_state()),
            (Some(v1::PageType::Normal), Some(v1::LaunchState::Staging))
        );
        assert_eq!(
            (
                error.identical(),
                error.identical_pages(),
                error.installed_pages()
            ),
            (Some(true), Some(3), Some(0))
        );
        assert_eq!((error.errno(), error.firmware_status()), (None, None));
    }

    #[test]
    fn display_says_what_happened_and_what_to_do() {
        let error = refusal(Code::AlreadyExists, reason::ALREADY_INSTALLED, DOMAIN, &[]);
        let text = error.to_string();
        assert!(text.starts_with("ALREADY_INSTALLED: page at GPA 0x5000 is already installed; nothing overwrites a page"), "{text}");
    }

    #[test]
    fn a_status_without_details_still_says_what_to_do() {
        for code in 0..=16 {
            let error = StagepagesError::from(Status::new(Code::from_i32(code), ""));
            assert!(
                !error.what().is_empty() && !error.remedy().is_empty(),
                "{code}"
            );
        }
    }

    #[test]
    fn entries_that_firmware_would_have_otherwise_come_in_their_order() {
        let error = refusal(
            Code::FailedPrecondition,
            reason::CPUID_REJECTED,
            DOMAIN,
            &[
                ("cpuid_differences", "12"),
                ("cpuid_difference_2", "entry 4"),
                ("cpuid_difference_1", "entry 3"),
                ("cpuid_difference_4", "behind a gap"),
            ],
        );
        assert!(error.cpuid_differences().eq(["entry 3", "entry 4"]));
    }

    #[test]
    fn metadata_that_cannot_be_read_is_absent() {
        let error = refusal(
            Code::Internal,
            reason::KERNEL_REFUSED,
            DOMAIN,
            &[
                ("installed_pages", "many"),
                ("gpa", "here"),
                ("identical", "perhaps"),
            ],
        );
        assert_eq!(
            (error.installed_pages(), error.gpa(), error.identical()),
            (None, None, None)
        );
    }
}
