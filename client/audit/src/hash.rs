//! The hash of a record, and the head of a log.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest. Written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash([u8; 32]);

impl Hash {
    /// What the first record of all has before it.
    pub const NONE: Self = Self([0; 32]);

    /// The hash of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::from(Sha256::digest(bytes).as_slice())
    }
}

impl From<&[u8]> for Hash {
    /// Bytes beyond the 32nd are left out, and missing ones are zero.
    fn from(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(bytes) {
            *to = *from;
        }
        Self(hash)
    }
}

/// Not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no hash; write 64 hexadecimal digits in lower case")]
pub struct NotAHash(String);

impl FromStr for Hash {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut hash = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let wrong = || NotAHash(text.chars().take(100).collect());
        if pairs.len() != hash.len() || !rest.is_empty() {
            return Err(wrong());
        }
        for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
            *byte = digit(*high)
                .zip(digit(*low))
                .map(|(high, low)| high << 4 | low)
                .ok_or_else(wrong)?;
        }
        Ok(Self(hash))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Hash {
    type Error = NotAHash;

    fn try_from(text: String) -> Result<Self, NotAHash> {
        text.parse()
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

/// One record of a log, by its number and its hash. Written as `SEQ:HASH`.
///
/// Whoever knows the head of a log knows everything before it: no other chain ends in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number, from 1.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

/// Not a head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAHead {
    /// Not two parts, the first a number above 0.
    #[error("{0:?} is no head of a log; write SEQ:HASH, as `stagectl audit verify` prints it")]
    Form(String),
    /// The second part.
    #[error(transparent)]
    Hash(#[from] NotAHash),
}

impl FromStr for Head {
    type Err = NotAHead;

    fn from_str(text: &str) -> Result<Self, NotAHead> {
        let form = || NotAHead::Form(text.chars().take(100).collect());
        let (seq, hash) = text.split_once(':').ok_or_else(form)?;
        let seq = seq.parse().ok().filter(|seq| *seq > 0).ok_or_else(form)?;
        Ok(Self {
            seq,
            hash: hash.parse()?,
        })
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_is_written_and_nothing_else_is() {
        let head = Head {
            seq: 7,
            hash: Hash::of(b"a line"),
        };
        assert_eq!(head.to_string().parse(), Ok(head));
        let hash = Hash::of(b"abc").to_string();
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            hash,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        for wrong in [
            "",
            "7",
            "7:",
            &hash,
            &format!("0:{hash}"),
            &format!("7:{}", hash.to_uppercase()),
            &format!("7:{hash}0"),
            &format!("-7:{hash}"),
        ] {
            assert!(wrong.parse::<Head>().is_err(), "{wrong}");
        }
    }
}
