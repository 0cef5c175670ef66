//! Paths in settings: absolute, because the daemon's own directory is nobody's business.
//!
//! **Invariant:** one that exists means the same wherever the daemon was started.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::Deserialize;

use super::ValueError;
use crate::rpc::status::printable;

/// An absolute directory. It need not exist.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AbsolutePath(PathBuf);

impl AbsolutePath {
    /// The path.
    #[must_use]
    pub fn into_path(self) -> PathBuf {
        self.0
    }
}

impl FromStr for AbsolutePath {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.starts_with('/') {
            Ok(Self(PathBuf::from(text)))
        } else {
            Err(ValueError::Relative(printable(text, 200)))
        }
    }
}

impl TryFrom<String> for AbsolutePath {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl fmt::Display for AbsolutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}
