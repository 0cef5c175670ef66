//! A register that cannot hold what it was given.

use std::fmt;

/// Which field, what it holds, and what is wrong with that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The path in the state: `long_mode.cr3`.
    pub field: String,
    /// What it holds.
    pub value: u64,
    /// The rule, and the way out.
    pub why: String,
}

impl Wrong {
    /// `why` says the rule and the way out.
    #[must_use]
    pub fn new(field: impl Into<String>, value: u64, why: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            value,
            why: why.into(),
        }
    }

    /// Puts the field into a message.
    #[must_use]
    pub fn inside(self, outer: &str) -> Self {
        Self {
            field: format!("{outer}.{}", self.field),
            ..self
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, value, why } = self;
        write!(f, "{field} is {value:#x}: {why}")
    }
}

/// A number that has 16 bits in the processor and more on the wire.
///
/// # Errors
/// It has more.
pub fn sixteen_bits(field: &str, value: u32) -> Result<u16, Wrong> {
    u16::try_from(value)
        .map_err(|_too_large| Wrong::new(field, value.into(), "it has 16 bits; give 0x0 to 0xffff"))
}
