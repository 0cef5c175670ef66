//! Why there is nothing to show.
//!
//! **Invariant:** it is told in the API's words where the API has any.

use std::fmt;

use tonic::{Code, Status};

use crate::rpc::status::ApiError;

/// Why there is nothing to show.
#[derive(Debug)]
pub(super) enum Unseen {
    /// The caller may not look.
    Refused(ApiError),
    /// There is no such launch.
    Missing(String),
    /// A token that is none.
    Malformed(String),
    /// Something did not answer.
    Failed(String),
}

/// What a call that lists says.
pub(super) fn unseen(status: &Status) -> Unseen {
    let text = status.message().to_owned();
    if status.code() == Code::InvalidArgument {
        Unseen::Malformed(text)
    } else {
        Unseen::Failed(text)
    }
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "{error}"),
            Self::Missing(text) | Self::Malformed(text) | Self::Failed(text) => f.write_str(text),
        }
    }
}
