//! The name of a host.
//!
//! **Invariant:** a [`HostId`] is safe as a file name and as an argument: no separator, no dot, no control character, never empty.

use std::fmt;
use std::str::FromStr;

/// 1 to 64 of a-z, 0-9 and `-`: the launch's uid, or a name for a probe. Never used for a second host.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(String);

/// A name that no host can have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a host id is 1 to 64 of a-z, 0-9 and -, not {given:?}")]
pub struct BadHostId {
    /// What was given, cut to 80 characters.
    given: String,
}

impl HostId {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostId {
    type Err = BadHostId;

    fn from_str(text: &str) -> Result<Self, BadHostId> {
        let good = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadHostId {
                given: text.chars().take(80).collect(),
            })
        }
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_a_socket_file_can_be_called() {
        for good in ["a", "0f3e", "probe-kvm-1", &"a".repeat(64)] {
            assert_eq!(good.parse::<HostId>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a.sock",
            "A",
            "a b",
            "a\0",
            "é",
            "a_b",
            &"a".repeat(65),
        ] {
            assert!(bad.parse::<HostId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_refusal_quotes_no_more_than_a_line() {
        let error = "x".repeat(1 << 20).to_uppercase().parse::<HostId>();
        assert!(error.unwrap_err().to_string().len() < 200);
    }
}
