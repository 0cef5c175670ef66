//! What a caller is told when a call fails: one builder, and the only file in which a `tonic::Status` is made.
//!
//! The status of an [`ApiError`] is bounded, because clients cap metadata at 8 KiB in all and some (grpcio) replace a larger
//! status as a whole. Details take at most 4 KiB, which base64 makes 5.4; the message takes at most 640 bytes, which percent
//! encoding can triple.
//!
//! **Invariant:** no status without a reason, none with details above [`MAX_DETAILS_BYTES`], none with a control character
//! from a caller in it, and none with page contents.

use std::{collections::HashMap, fmt, time::Duration};

use http::HeaderMap;
use stagepages_kvm::Gpa;
use tonic::{Status, body::Body, codegen::StdError};
use tonic_types::{ErrorDetails, StatusExt};

use super::reason::Reason;
use crate::trace;

mod bounded;
mod printable;

use bounded::Bounded;
pub(crate) use printable::printable;

/// The domain of every reason.
pub const DOMAIN: &str = "stagepages";
/// The most that encoded details take, in bytes, before base64.
pub const MAX_DETAILS_BYTES: usize = 4096;
/// The most that the message takes, in bytes, before percent encoding.
pub const MAX_MESSAGE_BYTES: usize = 640;
/// The most that one value or description in the details takes, in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// A failed call: a stable reason, words for a person, details for a program.
///
/// Boxed, because it travels in the `Err` of nearly every function of a call, and nearly always is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    reason: Reason,
    message: String,
    metadata: Bounded<(&'static str, String)>,
    fields: Bounded<(String, String)>,
    preconditions: Bounded<(&'static str, String, String)>,
    quotas: Bounded<(String, String)>,
    retry_after: Option<Duration>,
}

impl ApiError {
    /// A failure. `message` says what and, where there is one, the way out; the reason is put before it.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            reason,
            message: printable(&message.into(), MAX_MESSAGE_BYTES),
            metadata: Bounded::default(),
            fields: Bounded::default(),
            preconditions: Bounded::default(),
            quotas: Bounded::default(),
            retry_after: None,
        }))
    }

    /// Names the launch, given its id: the metadata has its name, which requests take.
    #[must_use]
    pub fn launch(self, launch: &str) -> Self {
        self.meta("launch", format_args!("launches/{launch}"))
    }

    /// Names a guest physical address, in hex.
    #[must_use]
    pub fn gpa(self, gpa: Gpa) -> Self {
        self.meta("gpa", gpa)
    }

    /// Adds `key` to the metadata of ErrorInfo. The first value of a key stays.
    #[must_use]
    pub fn meta(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        if !self.0.metadata.iter().any(|(known, _)| *known == key) {
            self.0.metadata.push((key, text(&value.to_string())));
        }
        self
    }

    /// Adds a BadRequest violation: `field` as the proto names it, for example `spec.regions[2].gpa`.
    #[must_use]
    pub fn field(mut self, field: &str, description: &str) -> Self {
        self.0.fields.push((text(field), text(description)));
        self
    }

    /// Adds a PreconditionFailure violation.
    #[must_use]
    pub fn precondition(mut self, kind: &'static str, subject: &str, description: &str) -> Self {
        self.0
            .preconditions
            .push((kind, text(subject), text(description)));
        self
    }

    /// Says when a retry makes sense.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.0.retry_after = Some(delay);
        self
    }

    /// Adds a QuotaFailure violation.
    #[must_use]
    pub fn quota(mut self, subject: &str, description: &str) -> Self {
        self.0.quotas.push((text(subject), text(description)));
        self
    }

    /// Why the call failed.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// What it says.
    #[must_use]
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// The failure as a whole response that has no body.
    pub(crate) fn into_response(self) -> http::Response<Body> {
        Status::from(self).into_http()
    }

    /// The failure as an answer inside a stream.
    #[must_use]
    pub fn into_rpc_status(self) -> tonic_types::Status {
        let status = Status::from(self);
        // The details are a google.rpc.Status already; we made them a moment ago.
        prost::Message::decode(status.details()).unwrap_or_else(|_never: prost::DecodeError| {
            tonic_types::Status {
                code: status.code().into(),
                message: status.message().to_owned(),
                details: Vec::new(),
            }
        })
    }

    /// The failure as the trailers of a response that has begun.
    pub(crate) fn into_trailers(self) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        if let Err(status) = Status::from(self).add_header(&mut trailers) {
            // Not reached: percent encoding and base64 leave only what headers can hold. The code is in the trailers already.
            tracing::error!(%status, "a status does not fit into trailers");
        }
        trailers
    }

    /// The failure as an error of a request body, which tonic hands on to the caller unchanged.
    pub(crate) fn into_body_error(self) -> StdError {
        Box::new(Status::from(self))
    }

    fn details(&self) -> ErrorDetails {
        let mut metadata: HashMap<String, String> = self
            .0
            .metadata
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect();
        if let Some(more) = self.0.metadata.more() {
            metadata.insert("truncated".to_owned(), more);
        }
        let mut details = ErrorDetails::with_error_info(self.0.reason.as_str(), DOMAIN, metadata);
        for (field, description) in self.0.fields.iter() {
            details.add_bad_request_violation(field, description);
        }
        if let Some(more) = self.0.fields.more() {
            details.add_bad_request_violation("…", more);
        }
        for (kind, subject, description) in self.0.preconditions.iter() {
            details.add_precondition_failure_violation(*kind, subject, description);
        }
        if let Some(more) = self.0.preconditions.more() {
            details.add_precondition_failure_violation("…", "…", more);
        }
        for (subject, description) in self.0.quotas.iter() {
            details.add_quota_failure_violation(subject, description);
        }
        if let Some(more) = self.0.quotas.more() {
            details.add_quota_failure_violation("…", more);
        }
        if self.0.retry_after.is_some() {
            details.set_retry_info(self.0.retry_after);
        }
        details
    }

    /// Leaves out one entry of the details; false if there is none left. Facts about the launch go last.
    fn shorten(&mut self) -> bool {
        self.0.fields.drop_last()
            || self.0.quotas.drop_last()
            || self.0.preconditions.drop_last()
            || self.0.metadata.drop_last()
    }
}

impl fmt::Display for ApiError {
    /// The message of the status: `REASON: text`, then each field that the text does not explain itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.reason, self.0.message)?;
        for (field, description) in self.0.fields.iter() {
            // A long one was cut; what was kept of it tells whether the text has it.
            if !self.0.message.contains(description.trim_end_matches('…')) {
                write!(f, "; {field}: {description}")?;
            }
        }
        match self.0.fields.more() {
            Some(more) => write!(f, "; {more}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ApiError {}

impl From<ApiError> for Status {
    fn from(mut error: ApiError) -> Self {
        let message = printable(&error.to_string(), MAX_MESSAGE_BYTES);
        let mut call = trace::current();
        loop {
            let code = error.0.reason.code();
            let mut details = error.details();
            if let Some(call) = &call {
                details.set_request_info(call.request().as_str(), "");
            }
            let status = Self::with_error_details(code, message.as_str(), details);
            // Ends: without entries only the reason and the bounded message are left. The call's id goes first: it is in the headers, too.
            if status.details().len() <= MAX_DETAILS_BYTES
                || call.take().is_none() && !error.shorten()
            {
                return status;
            }
        }
    }
}

fn text(text: &str) -> String {
    printable(text, MAX_TEXT_BYTES)
}

#[cfg(test)]
mod tests;
