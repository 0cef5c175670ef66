//! Values as people type them, as TOML texts, and where they are numbers as TOML integers.
//!
//! **Invariant:** a text is taken by the one parser that the command line has too.

use std::{fmt, marker::PhantomData, str::FromStr};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

use crate::addr::{ParseError, parse_number, parse_size};

/// A `T`, from a text, or if `INTEGER` from an integer too.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted<T, const INTEGER: bool>(pub(super) T);

impl<'de, T: FromStr<Err = ParseError>, const INTEGER: bool> Deserialize<'de>
    for Wanted<T, INTEGER>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let reader = Reader::<T, INTEGER>(PhantomData);
        match INTEGER {
            true => deserializer.deserialize_any(reader),
            false => deserializer.deserialize_str(reader),
        }
    }
}

struct Reader<T, const INTEGER: bool>(PhantomData<T>);

impl<T: FromStr<Err = ParseError>, const INTEGER: bool> Visitor<'_> for Reader<T, INTEGER> {
    type Value = Wanted<T, INTEGER>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match INTEGER {
            true => "a number that is not negative, or a text in quotes",
            false => "a text in quotes",
        })
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        text.parse().map(Wanted).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        match INTEGER {
            true => self.visit_str(&number.to_string()),
            false => Err(E::invalid_type(
                serde::de::Unexpected::Signed(number),
                &self,
            )),
        }
    }
}

/// 64 bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Number(pub(super) u64);

impl FromStr for Number {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse_number(text).map(Self)
    }
}

/// 32 bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Narrow(pub(super) u32);

impl FromStr for Narrow {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let number = parse_number(text).ok().and_then(|it| it.try_into().ok());
        number.map(Self).ok_or_else(|| {
            ParseError::new(text, "a number of 32 bits", "0x0 to 0xffffffff, or decimal")
        })
    }
}

/// Bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Length(pub(super) u64);

impl FromStr for Length {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse_size(text).map(Self)
    }
}

/// Any bytes, as hex digits.
#[derive(Clone, Debug)]
pub(super) struct Hex(pub(super) Bytes);

impl FromStr for Hex {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        // The text may be long; its beginning tells which it is.
        let begin: String = text.chars().take(40).collect();
        digits(text)
            .filter(|bytes| !bytes.is_empty())
            .map(|bytes| Self(bytes.into()))
            .ok_or_else(|| {
                ParseError::new(
                    &begin,
                    "the beginning of bytes in hex",
                    "an even number of hex digits without 0x",
                )
            })
    }
}

/// So many bytes, as hex digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exactly<const N: usize>(pub(super) [u8; N]);

impl<const N: usize> FromStr for Exactly<N> {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let form = match N {
            16 => "16 bytes as 32 hex digits without 0x",
            32 => "32 bytes as 64 hex digits without 0x",
            _ => "48 bytes as 96 hex digits without 0x",
        };
        digits(text)
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| ParseError::new(text, "what is wanted here", form))
    }
}

fn digits(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
    let bytes = pairs.iter().map(byte).collect::<Option<Vec<u8>>>()?;
    rest.is_empty().then_some(bytes)
}
