//! What a command says when it fails: what happened, what to do, and the exit status.
//!
//! **Invariant:** every failure has a hint, and reaches both the person (standard error) and the program (exit status; with
//! `--output json` one document on standard output, unless the command already printed its own).

use std::{
    io::{self, IsTerminal as _, Write},
    process::ExitCode,
};

use stagepages_client::{
    ConnectError, StagepagesError, credentials::CredentialsError, endpoint::EndpointError, plain,
    with_causes,
};

use crate::{
    json::{ErrorDetails, ErrorDocument},
    output::Output,
};

const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// A failure on its way to the user.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u8,
    document: Box<ErrorDocument>,
    /// The command's own document is out, and says it.
    documented: bool,
}

impl Failure {
    /// What was asked for is not so. Both texts in lower case, without a period at the end.
    pub(crate) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::from(ErrorDocument::new(what, hint))
    }

    /// The command line is wrong, although each of its parts could be read.
    pub(crate) fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            status: USAGE,
            ..Self::new(what, hint)
        }
    }

    /// The same with another hint, where the command knows better than the reason does.
    pub(crate) fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.document.error.hint = hint.into();
        self
    }

    /// The same with further lines, each fit to stand alone.
    pub(crate) fn with_more(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.document.error.more.extend(lines);
        self
    }

    /// The same, after the command has printed its document.
    pub(crate) fn documented(self) -> Self {
        Self {
            documented: true,
            ..self
        }
    }

    /// What the document says.
    pub(crate) fn details(&self) -> &ErrorDetails {
        &self.document.error
    }

    /// Tells the user.
    pub(crate) fn report(self, output: Output) -> ExitCode {
        // If the error cannot be shown, the exit status still tells.
        drop(io::stderr().lock().write_all(self.text().as_bytes()));
        if !self.documented {
            drop(output.json(&*self.document));
        }
        ExitCode::from(self.status)
    }

    fn text(&self) -> String {
        let details = &self.document.error;
        let violations: String = details
            .violations
            .iter()
            .map(|it| format!("  {}: {}\n", it.subject, it.description))
            .collect();
        let more: String = details
            .more
            .iter()
            .map(|it| format!("  {}\n", plain(it)))
            .collect();
        // For whoever looks now. Programs find it in the document; what is kept of the text would differ each time.
        let request = details
            .request
            .as_ref()
            .filter(|_| io::stderr().is_terminal())
            .map(|id| format!("request: {}\n", plain(id)))
            .unwrap_or_default();
        format!(
            "error: {}\n{violations}{more}hint: {}\n{request}",
            plain(&details.what),
            plain(&details.hint)
        )
    }
}

impl From<ErrorDocument> for Failure {
    fn from(document: ErrorDocument) -> Self {
        Self {
            status: FAILED,
            document: Box::new(document),
            documented: false,
        }
    }
}

impl From<StagepagesError> for Failure {
    fn from(error: StagepagesError) -> Self {
        Self::from(ErrorDocument::from(&error))
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let hint = error.remedy();
        Self::new(with_causes(&error), hint)
    }
}

impl From<EndpointError> for Failure {
    fn from(error: EndpointError) -> Self {
        Self::usage(
            with_causes(&error),
            "name the daemon's socket with --endpoint unix:/path",
        )
    }
}

impl From<CredentialsError> for Failure {
    fn from(error: CredentialsError) -> Self {
        Self::usage(
            with_causes(&error),
            "give --ca, --cert and --key together; deploy/TLS.md shows how they are made",
        )
    }
}

impl From<io::Error> for Failure {
    /// Of writing the document; a command names its other files itself.
    fn from(error: io::Error) -> Self {
        Self::new(
            format!("cannot write to standard output: {error}"),
            "see where standard output goes",
        )
    }
}

#[cfg(test)]
mod tests {
    use stagepages_client::{error::DOMAIN, reason};
    use tonic::{Code, Status};
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    #[test]
    fn a_refusal_shows_what_happened_each_violation_and_a_hint() {
        let mut details =
            ErrorDetails::with_bad_request_violation("spec.regions[1]", "overlaps regions[0]");
        details.set_error_info(
            reason::INVALID_LAUNCH,
            DOMAIN,
            [("launch".to_owned(), "launches/vm-1".to_owned())],
        );
        let status = Status::with_error_details(
            Code::InvalidArgument,
            "INVALID_LAUNCH: 1 field is wrong",
            details,
        );
        let failure = Failure::from(StagepagesError::from(status));
        assert_eq!(
            failure.text(),
            "error: INVALID_LAUNCH: 1 field is wrong\n  spec.regions[1]: overlaps regions[0]\nhint: correct the named fields; `stagectl node` shows the limits\n"
        );
        let json = serde_json::to_value(&failure.document).unwrap();
        assert_eq!(json["error"]["reason"], "INVALID_LAUNCH");
        assert_eq!(json["error"]["code"], "INVALID_ARGUMENT");
        assert_eq!(json["error"]["metadata"]["launch"], "launches/vm-1");
        assert_eq!(json["error"]["violations"][0]["subject"], "spec.regions[1]");
    }

    #[test]
    fn a_rejected_cpuid_page_shows_the_entries_that_differ_and_where_to_see_them_all() {
        let entry = "entry 1, leaf 0xd.0x0: ebx 0x988, firmware would have 0x240;";
        let details = ErrorDetails::with_error_info(
            reason::CPUID_REJECTED,
            DOMAIN,
            [("cpuid_difference_1".to_owned(), entry.to_owned())],
        );
        let status = Status::with_error_details(
            Code::FailedPrecondition,
            "CPUID_REJECTED: 1 entry differs",
            details,
        );
        let failure = Failure::from(StagepagesError::from(status));
        let text = failure.text();
        let line = "\n  entry 1, leaf 0xd.0x0: ebx 0x988, firmware would have 0x240\nhint: ";
        assert!(
            text.contains(line) && text.contains("stagectl launch rejected-cpuid"),
            "{text}"
        );
        let json = serde_json::to_value(&failure.document).unwrap();
        assert_eq!(json["error"]["metadata"]["cpuid_difference_1"], entry);
    }

    #[test]
    fn a_refusal_without_details_shows_a_hint_all_the_same() {
        let failure = Failure::from(StagepagesError::from(Status::unavailable("")));
        assert!(
            failure.text().starts_with("error: ")
                && failure
                    .text()
                    .contains("\nhint: check that the daemon runs"),
            "{}",
            failure.text()
        );
        assert_eq!(
            serde_json::to_value(&failure.document).unwrap()["error"]["reason"],
            serde_json::Value::Null
        );
    }

    #[test]
    fn only_wrong_command_lines_exit_with_two() {
        assert_eq!(Failure::new("a", "b").status, 1);
        assert_eq!(Failure::usage("a", "b").status, 2);
        assert_eq!(
            Failure::from("x".parse::<stagepages_client::Endpoint>().unwrap_err()).status,
            2
        );
    }
}
