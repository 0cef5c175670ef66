//! Guest-physical addresses, sizes and memory regions, and the forms in which people type them.
//!
//! The client never uses the server's crates, so it has its own [`Gpa`]; on the wire both are a number of bytes.
//!
//! **Invariant:** nothing here rounds: an address or size is taken as it was typed, or refused with the value named.

use std::{fmt, str::FromStr};

use stagepages_proto::v1;

/// Bytes of one page, everywhere in this API.
pub const PAGE_BYTES: u64 = 4096;

/// A guest-physical address in bytes. Any value; the daemon says which are aligned and inside memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gpa(u64);

impl Gpa {
    /// The address `bytes`.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The address in bytes, for the wire.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The address `pages` pages on, or `None` past the end of the address space.
    #[must_use]
    pub fn plus_pages(self, pages: u64) -> Option<Self> {
        self.0.checked_add(pages.checked_mul(PAGE_BYTES)?).map(Self)
    }
}

impl fmt::Display for Gpa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for Gpa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gpa({self})")
    }
}

impl FromStr for Gpa {
    type Err = ParseError;

    /// Hexadecimal with `0x`, or decimal; `_` between digits is ignored.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        number(text).map(Self).ok_or_else(|| {
            ParseError::new(
                text,
                "an address",
                "bytes in hex (0x1000) or decimal, below 2^64",
            )
        })
    }
}

/// A region of guest memory: first address and size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First address.
    pub gpa: Gpa,
    /// Size in bytes.
    pub size: u64,
}

impl FromStr for Region {
    type Err = ParseError;

    /// `GPA+SIZE`, for example `0x0+64M`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (gpa, size) = text.split_once('+').ok_or_else(|| {
            ParseError::new(text, "a memory region", "GPA+SIZE, for example 0x0+64M")
        })?;
        Ok(Self {
            gpa: gpa.parse()?,
            size: parse_size(size)?,
        })
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.gpa, Size(self.size))
    }
}

impl From<Region> for v1::MemoryRegion {
    fn from(region: Region) -> Self {
        Self {
            gpa: region.gpa.bytes(),
            size: region.size,
        }
    }
}

impl From<&v1::MemoryRegion> for Region {
    fn from(region: &v1::MemoryRegion) -> Self {
        Self {
            gpa: Gpa::new(region.gpa),
            size: region.size,
        }
    }
}

/// Bytes, shown in the form that [`parse_size`] takes: `64M`, or in hex where no suffix divides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let divides = |(_, shift): &&(char, u32)| self.0.trailing_zeros() >= *shift;
        match SUFFIXES.iter().rev().find(divides) {
            _ if self.0 == 0 => write!(f, "0"),
            Some((suffix, shift)) => write!(f, "{}{suffix}", self.0 >> shift),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

/// Binary suffixes, smallest first.
const SUFFIXES: [(char, u32); 4] = [('K', 10), ('M', 20), ('G', 30), ('T', 40)];

/// A size in bytes: a number, decimal or hex with `0x`, and one of the binary suffixes K, M, G, T or none.
///
/// # Errors
/// Not of that form, or 2^64 bytes and more.
pub fn parse_size(text: &str) -> Result<u64, ParseError> {
    let suffix = SUFFIXES
        .iter()
        .find(|(suffix, _)| text.ends_with([*suffix, suffix.to_ascii_lowercase()]));
    let (digits, shift) = suffix.map_or((text, 0), |(_, shift)| (&text[..text.len() - 1], *shift));
    number(digits)
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| {
            ParseError::new(
                text,
                "a size",
                "bytes, or with K, M, G or T for a power of 1024 (64M), below 2^64",
            )
        })
}

/// A number, decimal or hex with `0x`.
///
/// # Errors
/// Not of that form, or 2^64 and more.
pub fn parse_number(text: &str) -> Result<u64, ParseError> {
    number(text)
        .ok_or_else(|| ParseError::new(text, "a number", "hex (0x30000) or decimal, below 2^64"))
}

/// Digits only: Rust's own parser would take a sign.
pub(crate) fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None => (text, 10),
    };
    let digits = digits.replace('_', "");
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    u64::from_str_radix(&digits, radix).ok()
}

/// A text that is not what it should be: names the text, and says what would do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: give {form}", text = text.escape_debug())]
pub struct ParseError {
    text: String,
    what: &'static str,
    form: &'static str,
}

impl ParseError {
    /// `text` is not `what`; `form` is what would do.
    #[must_use]
    pub fn new(text: &str, what: &'static str, form: &'static str) -> Self {
        Self {
            text: text.to_owned(),
            what,
            form,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary_and_exact() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("64M", 64 << 20),
            ("1g", 1 << 30),
            ("0x10K", 16 << 10),
            ("1_000", 1000),
            ("16T", 1 << 44),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn bad_sizes_are_refused_with_the_value_named() {
        for text in [
            "",
            "M",
            "-1",
            "+1",
            "1.5G",
            "1GiB",
            "64 M",
            "0x",
            "18446744073709551616",
            "16777216T",
            "é",
        ] {
            let error = parse_size(text).unwrap_err().to_string();
            assert!(
                error.contains(&format!("`{text}`")) && error.contains("64M"),
                "{error}"
            );
        }
    }

    #[test]
    fn numbers_are_hex_or_decimal_and_have_no_sign() {
        assert_eq!(parse_number("0x3_0000"), Ok(0x3_0000));
        assert_eq!(parse_number("18446744073709551615"), Ok(u64::MAX));
        for text in ["", "+1", "-1", "30000h", "18446744073709551616"] {
            assert!(parse_number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_print_in_a_form_that_is_parsed_back() {
        for bytes in [
            0,
            1,
            4095,
            4096,
            64 << 20,
            (64 << 20) + 4096,
            1 << 45,
            u64::MAX,
        ] {
            assert_eq!(parse_size(&Size(bytes).to_string()), Ok(bytes));
        }
        assert_eq!(Size(64 << 20).to_string(), "64M");
        assert_eq!(Size(4095).to_string(), "0xfff");
        assert_eq!(Size(0).to_string(), "0");
    }

    #[test]
    fn regions_are_address_plus_size() {
        assert_eq!(
            "0x0+64M".parse(),
            Ok(Region {
                gpa: Gpa::new(0),
                size: 64 << 20
            })
        );
        assert_eq!(
            "0xff_c0_00_00+4M".parse::<Region>().unwrap().to_string(),
            "0xffc00000+4M"
        );
        for text in [
            "64M",
            "0x0",
            "0x0+",
            "+64M",
            "0x0+64M+1",
            "0x0-64M",
            "zz+4K",
        ] {
            assert!(text.parse::<Region>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_never_wraps() {
        assert_eq!(Gpa::new(0x1000).plus_pages(2), Some(Gpa::new(0x3000)));
        assert_eq!(Gpa::new(u64::MAX - 4095).plus_pages(1), None);
        assert_eq!(Gpa::new(0).plus_pages(u64::MAX), None);
    }

    #[test]
    fn control_characters_of_the_input_do_not_reach_the_terminal() {
        assert!(
            !"\x1b[2J"
                .parse::<Gpa>()
                .unwrap_err()
                .to_string()
                .contains('\x1b')
        );
    }
}
