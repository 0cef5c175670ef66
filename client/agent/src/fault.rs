//! What keeps a launch or an image from going on: a reason for programs, a sentence with the way out for people, and whether it can pass by itself.
//!
//! **Invariant:** never holds a page's contents or a credential.

use std::fmt;

use stagepages_client::{ConnectError, StagepagesError, install::InstallError, reason, v1};
use tonic::Code;

use crate::resources::bounded;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// For programs: a reason of the API where the daemon gave it, or one of the agent's own.
    pub(crate) reason: String,
    /// For people: what, and what would mend it.
    pub(crate) message: String,
    /// Whether no repeat can mend it.
    pub(crate) is_lasting: bool,
    /// The id by which the daemon's log has the call that failed, where it was one of the daemon.
    pub(crate) request: Option<String>,
}

impl Fault {
    /// One that can pass.
    pub(crate) fn passing(reason: &str, message: impl Into<String>) -> Self {
        Self {
            reason: reason.to_owned(),
            message: message.into(),
            is_lasting: false,
            request: None,
        }
    }

    /// One that stays.
    pub(crate) fn lasting(reason: &str, message: impl Into<String>) -> Self {
        Self {
            is_lasting: true,
            ..Self::passing(reason, message)
        }
    }

    /// What people are told: the message, and the id of the call.
    pub(crate) fn told(&self) -> String {
        identified(&self.message, self.request.as_deref())
    }

    /// Whether people were told the same of this or of an earlier call.
    pub(crate) fn is_told_by(&self, text: &str) -> bool {
        anonymous(text) == anonymous(&self.told())
    }
}

/// Before an id.
const REQUEST: &str = " (request ";
/// Bytes of a message before it, so that the id is not what is cut off.
const MESSAGE: usize = 880;
/// Bytes of an id; the daemon's are shorter.
const ID: usize = 64;

/// With the id of the daemon's call, if there is one.
pub(crate) fn identified(text: &str, request: Option<&str>) -> String {
    match request {
        None => text.to_owned(),
        Some(id) => format!("{}{REQUEST}{})", bounded(text, MESSAGE), bounded(id, ID)),
    }
}

/// Without it.
fn anonymous(text: &str) -> &str {
    let split = { text.strip_suffix(')') }.and_then(|text| text.rsplit_once(REQUEST));
    split.map_or(text, |(text, _)| text)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

/// The daemon cannot be reached.
pub(crate) const DAEMON_UNREACHABLE: &str = "DAEMON_UNREACHABLE";
/// It says what nobody understands, or does not know what it is asked for.
const DAEMON_UNSUITABLE: &str = "DAEMON_UNSUITABLE";
/// What to do about it.
const LOOK_AT_DAEMON: &str =
    "the daemon of this node is not running, or serves no such device: see its pod and its log";

impl Fault {
    /// Whether it tells of the daemon, or of the launch's host, that it does not answer, and nothing of the launch.
    pub(crate) fn is_away(&self) -> bool {
        self.reason == DAEMON_UNREACHABLE || self.reason == reason::HOST_UNREACHABLE
    }

    /// The daemon does not answer in time.
    pub(crate) fn silent(after: std::time::Duration) -> Self {
        let text = format!(
            "the daemon has not answered for {} s; {LOOK_AT_DAEMON}",
            after.as_secs()
        );
        Self::passing(DAEMON_UNREACHABLE, text)
    }
}

impl From<ConnectError> for Fault {
    fn from(error: ConnectError) -> Self {
        let text = format!("{error}; {LOOK_AT_DAEMON}");
        Self::passing(DAEMON_UNREACHABLE, text)
    }
}

impl From<StagepagesError> for Fault {
    fn from(error: StagepagesError) -> Self {
        let request = error.request().map(str::to_owned);
        let Some(reason) = error.reason() else {
            if error.breaks_contract() || error.code() == Code::Unimplemented {
                let text = format!(
                    "the daemon of this node answers what this node agent cannot use: {error}; see that both are of one version"
                );
                return Self {
                    request,
                    ..Self::passing(DAEMON_UNSUITABLE, text)
                };
            }
            let text = format!("{error}; {LOOK_AT_DAEMON}");
            return Self {
                request,
                ..Self::passing(DAEMON_UNREACHABLE, text)
            };
        };
        let is_over = error.launch_state() == Some(v1::LaunchState::Aborted);
        let message = match is_over {
            true => format!("{error}; delete this ConfidentialLaunch and create another"),
            false => error.to_string(),
        };
        Self {
            reason: reason.to_owned(),
            message,
            is_lasting: is_over || !passes(reason),
            request,
        }
    }
}

/// Whether what this reason says can change without a change of the launch.
fn passes(reason: &str) -> bool {
    matches!(
        reason,
        reason::NO_CAPACITY
            | reason::QUEUE_FULL
            | reason::QUOTA_EXCEEDED
            | reason::DRAINING
            | reason::AUDIT_UNAVAILABLE
            | reason::HOST_UNREACHABLE
            | reason::DEADLINE_EXPIRED
            | reason::DEADLINE_UNREACHABLE
            | reason::PLATFORM_UNAVAILABLE
            | reason::PERMISSION
            | reason::UNAUTHENTICATED
            | reason::IMAGE_NOT_FOUND
            | reason::IMAGE_OFFSET
            | reason::IMAGE_WRITE_SUPERSEDED
            | reason::IMAGE_IN_USE
            | reason::NOT_APPLIED
            | reason::INTERNAL_ERROR
    )
}

impl From<InstallError> for Fault {
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::Refused(error) => error.into(),
            InstallError::Unreadable(_) | InstallError::Changed(_) => Self::passing(
                "IMAGE_UNREADABLE",
                format!("{error}; the cache of this node changed meanwhile"),
            ),
            InstallError::Extent(_) => Self::lasting("INVALID_EXTENT", error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_that_fails_alike_is_told_apart_by_its_id_alone() {
        let of = |message: &str, request: Option<&str>| Fault {
            request: request.map(str::to_owned),
            ..Fault::passing("QUEUE_FULL", message)
        };
        let first = of("full (request a) of it", Some("req-1"));
        assert_eq!(first.told(), "full (request a) of it (request req-1)");
        let again = of("full (request a) of it", Some("req-2"));
        assert!(again.is_told_by(&first.told()) && again.told() != first.told());
        assert!(!of("fuller", Some("req-1")).is_told_by(&first.told()));
        assert!(of("away", None).is_told_by("away"));
        let long = "ä".repeat(2000);
        let (one, other) = (of(&long, Some("req-1")), of(&long, Some("req-2")));
        let told = one.told();
        assert!(told.len() <= 1000 && told.ends_with("… (request req-1)"));
        assert!(other.is_told_by(&told));
    }

    #[test]
    fn what_only_another_spec_can_mend_lasts() {
        for (reason, passes_by) in [
            (reason::NO_CAPACITY, true),
            (reason::DRAINING, true),
            (reason::INVALID_LAUNCH, false),
            (reason::LAUNCH_EXISTS, false),
            (reason::DIGEST_MISMATCH, false),
            (reason::KERNEL_REFUSED, false),
        ] {
            assert_eq!(passes(reason), passes_by, "{reason}");
        }
    }
}
