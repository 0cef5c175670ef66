//! Bytes as hex digits on the command line.
//!
//! **Invariant:** as many bytes as are wanted, or a refusal with the value named; nothing is filled up.

use bytes::Bytes;
use stagepages_client::addr::ParseError;

/// A digest.
pub(crate) fn digest(text: &str) -> Result<Bytes, ParseError> {
    bytes(text)
        .filter(|bytes| !bytes.is_empty())
        .ok_or_else(|| {
            ParseError::new(
                text,
                "a digest",
                "an even number of hex digits without 0x, for example as `stagectl launch get` shows it",
            )
        })
}

/// `what`, which has 16 bytes.
pub(crate) fn of_16(text: &str, what: &'static str) -> Result<Bytes, ParseError> {
    exactly(text, 16, what, "16 bytes as 32 hex digits without 0x")
}

/// `what`, which has 32 bytes.
pub(crate) fn of_32(text: &str, what: &'static str) -> Result<Bytes, ParseError> {
    exactly(text, 32, what, "32 bytes as 64 hex digits without 0x")
}

/// `what`, which has 48 bytes.
pub(crate) fn of_48(text: &str, what: &'static str) -> Result<Bytes, ParseError> {
    exactly(text, 48, what, "48 bytes as 96 hex digits without 0x")
}

fn exactly(
    text: &str,
    length: usize,
    what: &'static str,
    form: &'static str,
) -> Result<Bytes, ParseError> {
    bytes(text)
        .filter(|bytes| bytes.len() == length)
        .ok_or_else(|| ParseError::new(text, what, form))
}

fn bytes(text: &str) -> Option<Bytes> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    let whole = pairs.remainder().is_empty();
    whole.then(|| pairs.map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_whole_bytes_of_hex() {
        assert_eq!(
            digest("00fFa0").unwrap(),
            Bytes::from_static(&[0x00, 0xff, 0xa0])
        );
        for text in ["", "0", "0x00", "0g", "00 ", "é0"] {
            assert!(digest(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_value_of_fixed_length_is_never_filled_up() {
        let parsers = [of_16, of_32, of_48];
        for (parse, length) in parsers.into_iter().zip([16, 32, 48]) {
            let text = "a5".repeat(length);
            assert_eq!(parse(&text, "it").unwrap(), vec![0xa5; length]);
            for text in ["", "a5", &text[2..], &format!("{text}a5"), &text[1..]] {
                let error = parse(text, "host data").unwrap_err().to_string();
                let needs = format!("is not host data: give {length} bytes as");
                assert!(error.contains(&needs), "{error}");
            }
        }
    }
}
