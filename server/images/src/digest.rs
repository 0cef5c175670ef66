//! The name of an image: SHA-256 over its bytes.
//!
//! **Invariant:** what names a file is 64 digits that were made from 32 bytes here, never text that came in.

use std::{fmt, str::FromStr};

/// SHA-256 over all bytes of an image. As text, `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageDigest(pub [u8; 32]);

/// Why a text is no [`ImageDigest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseDigestError {
    /// Another algorithm, or none.
    #[error(
        "digest begins with something else than sha256: (images are named sha256:<64 hexadecimal digits>)"
    )]
    Algorithm,
    /// Not 64 digits.
    #[error("digest has {found} characters after sha256:, not 64")]
    Length {
        /// How many there are.
        found: usize,
    },
    /// Something else than 0-9 and a-f.
    #[error("digest has {found:?} at position {at} after sha256:, where only 0-9 and a-f may be")]
    Digit {
        /// What is there.
        found: char,
        /// Its position among the digits, from 0.
        at: usize,
    },
}

impl ImageDigest {
    const PREFIX: &'static str = "sha256:";

    /// The digits alone: the name of the image's file.
    pub(crate) fn hex(&self) -> String {
        hex(&self.0)
    }

    /// The other way round; `None` for any other text.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let bytes = unhex(text)?;
        Some(Self(bytes.try_into().ok()?))
    }
}

impl fmt::Display for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, self.hex())
    }
}

impl fmt::Debug for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ImageDigest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        let digits = text.strip_prefix(Self::PREFIX);
        let digits = digits.ok_or(ParseDigestError::Algorithm)?;
        let odd = |(_, digit): &(usize, char)| !matches!(digit, '0'..='9' | 'a'..='f');
        if let Some((at, found)) = digits.chars().enumerate().find(odd) {
            return Err(ParseDigestError::Digit { found, at });
        }
        let found = digits.len();
        Self::from_hex(digits).ok_or(ParseDigestError::Length { found })
    }
}

/// Lower-case hexadecimal digits, two for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| {
        char::from(if value < 10 {
            b'0' + value
        } else {
            b'a' - 10 + value
        })
    };
    let digits = |byte: &u8| [digit(byte >> 4), digit(byte & 0xf)];
    bytes.iter().flat_map(digits).collect()
}

/// The bytes of lower-case hexadecimal digits; `None` for any other text.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_digest_leads_back_to_it() {
        let digest = ImageDigest(*blake3::hash(b"any").as_bytes());
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(digest.to_string().len(), 7 + 64);
    }

    #[test]
    fn other_texts_are_refused_with_what_is_wrong() {
        let parse = |text: &str| text.parse::<ImageDigest>().unwrap_err();
        let zeros = "0".repeat(64);
        assert_eq!(parse(&zeros), ParseDigestError::Algorithm);
        assert_eq!(
            parse(&format!("sha512:{zeros}")),
            ParseDigestError::Algorithm
        );
        assert_eq!(parse("sha256:00"), ParseDigestError::Length { found: 2 });
        assert_eq!(
            parse(&format!("sha256:{zeros}0")),
            ParseDigestError::Length { found: 65 }
        );
        let (found, at) = ('/', 2);
        assert_eq!(
            parse("sha256:../../etc/passwd"),
            ParseDigestError::Digit { found: '.', at: 0 }
        );
        assert_eq!(
            parse(&format!("sha256:00/{}", "0".repeat(61))),
            ParseDigestError::Digit { found, at }
        );
        let (found, at) = ('A', 63);
        assert_eq!(
            parse(&format!("sha256:{}A", "0".repeat(63))),
            ParseDigestError::Digit { found, at }
        );
    }
}
