//! How processes are confined, as an operator writes it.
//!
//! **Invariant:** a user's name stays text here, for parsing looks nothing up.

use std::{fmt, str::FromStr};

use serde::Deserialize;
use stagepages_sandbox::{BadHostUser, HostUser, Mode};

use super::values::ValueError;
use crate::rpc::status::printable;

/// `on`, `off` or `require`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SandboxMode(Mode);

/// The user of launch hosts: a name, `UID` or `UID:GID`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct UserName(String);

impl SandboxMode {
    /// Nothing may be missing.
    pub const REQUIRE: Self = Self(Mode::Require);

    /// The mode.
    #[must_use]
    pub fn get(self) -> Mode {
        self.0
    }
}

impl UserName {
    /// Looks it up.
    ///
    /// # Errors
    /// There is no such user, or it is root.
    pub fn find(&self) -> Result<HostUser, BadHostUser> {
        self.0.parse()
    }
}

impl FromStr for SandboxMode {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let mode = text.parse();
        mode.map(Self)
            .map_err(|_bad| ValueError::SandboxMode(printable(text, 64)))
    }
}

impl FromStr for UserName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        // As useradd(8) has them, and numbers.
        let word = |c: char| c.is_ascii_alphanumeric() || "_.-:$".contains(c);
        if text.is_empty() || text.len() > 64 || !text.chars().all(word) {
            return Err(ValueError::UserName(printable(text, 64)));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for SandboxMode {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl TryFrom<String> for UserName {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl fmt::Display for SandboxMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
