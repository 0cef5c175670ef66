//! Who may connect to Unix sockets: their mode, and their group.
//!
//! **Invariant:** a mode that exists gives nobody more than to read and write, which is to connect.

use std::{fmt, str::FromStr};

use serde::Deserialize;

use super::ValueError;
use crate::rpc::status::printable;

/// A mode, written in octal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SocketMode(u32);

impl SocketMode {
    /// The bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl Default for SocketMode {
    /// Whose socket it is.
    fn default() -> Self {
        Self(0o600)
    }
}

impl FromStr for SocketMode {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let digits =
            (3..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let mode = digits.then(|| u32::from_str_radix(text, 8).ok()).flatten();
        // Its owner is this daemon's user, who has to be able to look whether it is served.
        mode.filter(|mode| mode & !0o666 == 0 && mode & 0o600 == 0o600)
            .map(Self)
            .ok_or_else(|| ValueError::SocketMode(printable(text, 64)))
    }
}

impl TryFrom<String> for SocketMode {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl fmt::Display for SocketMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// A group, by name or number.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SocketGroup(String);

impl SocketGroup {
    /// Its name, or its number.
    #[must_use]
    pub fn into_name(self) -> String {
        self.0
    }
}

impl FromStr for SocketGroup {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if text.is_empty() || text.len() > 32 || !text.chars().all(plain) {
            return Err(ValueError::Group(printable(text, 64)));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for SocketGroup {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl fmt::Display for SocketGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal_and_give_nothing_but_connecting() {
        for (text, bits) in [("0600", 0o600), ("660", 0o660), ("0666", 0o666)] {
            assert_eq!(text.parse::<SocketMode>().unwrap().bits(), bits);
        }
        for bad in [
            "", "6", "0700", "1666", "0060", "0x1b", "rw-", "00600", "888",
        ] {
            let error = bad.parse::<SocketMode>().unwrap_err().to_string();
            assert!(error.contains("0660"), "{bad}: {error}");
        }
        assert_eq!(SocketMode::default().to_string(), "0600");
        for bad in ["", "a b", "x/y", &"a".repeat(33)] {
            bad.parse::<SocketGroup>().unwrap_err();
        }
    }
}
