//! The name of an image, which is its content: SHA-256 over all its bytes.
//!
//! **Invariant:** every value is a name that the daemon takes; equal names are equal bytes.

use std::{fmt, str::FromStr};

use crate::addr::ParseError;

const COLLECTION: &str = "images/";
const ALGORITHM: &str = "sha256:";

/// images/sha256:{64 hex digits}.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName([u8; 32]);

impl ImageName {
    /// Of the bytes with this SHA-256.
    #[must_use]
    pub const fn of_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// SHA-256 of the bytes.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for ImageName {
    type Err = ParseError;

    /// From `images/sha256:…` or `sha256:…`, digits in lower case.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || {
            ParseError::new(
                text,
                "an image",
                "images/sha256: and 64 hexadecimal digits in lower case",
            )
        };
        let rest = text.strip_prefix(COLLECTION).unwrap_or(text);
        let hex = rest.strip_prefix(ALGORITHM).ok_or_else(wrong)?;
        let (pairs, odd) = hex.as_bytes().as_chunks::<2>();
        let mut digest = [0; 32];
        if pairs.len() != digest.len() || !odd.is_empty() {
            return Err(wrong());
        }
        for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
            *byte = (nibble(*high).ok_or_else(wrong)? << 4) | nibble(*low).ok_or_else(wrong)?;
        }
        Ok(Self(digest))
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(COLLECTION)?;
        f.write_str(ALGORITHM)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written_with_the_collection_or_without() {
        let name = ImageName::of_digest(std::array::from_fn(|nth| {
            0xf7_u8.wrapping_mul(u8::try_from(nth).unwrap())
        }));
        let text = name.to_string();
        assert_eq!(text.len(), 14 + 64, "{text}");
        assert_eq!(text.parse(), Ok(name));
        assert_eq!(text.strip_prefix("images/").unwrap().parse(), Ok(name));
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_text_named() {
        let hex = "0f".repeat(32);
        for text in [
            "",
            &hex,
            &format!("images/{hex}"),
            &format!("sha512:{hex}"),
            &format!("sha256:{}", &hex[1..]),
            &format!("sha256:{hex}00"),
            &format!("sha256:{}", hex.to_uppercase()),
            &format!("launches/sha256:{hex}"),
        ] {
            let refused = text.parse::<ImageName>().unwrap_err().to_string();
            assert!(refused.contains(&format!("`{text}`")), "{refused}");
        }
    }
}
