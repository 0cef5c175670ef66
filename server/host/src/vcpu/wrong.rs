//! A register that cannot hold what it was given.

use crate::launch::{Reason, Refusal};

/// Which field, what it holds, and what is wrong with that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    /// The path in the state: `long_mode.cr3`.
    pub(super) field: String,
    value: u64,
    why: String,
}

impl Wrong {
    /// `why` says the rule and the way out.
    pub(super) fn new(field: impl Into<String>, value: u64, why: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            value,
            why: why.into(),
        }
    }

    /// Puts the field into a message.
    pub(super) fn inside(self, outer: &str) -> Self {
        Self {
            field: format!("{outer}.{}", self.field),
            ..self
        }
    }

    pub(super) fn refusal(self, vcpu: u32) -> Refusal {
        let Self { field, value, why } = self;
        let message = format!("vCPU {vcpu}: {field} is {value:#x}: {why}");
        Refusal {
            field,
            ..Refusal::new(Reason::InvalidVcpuState, message)
        }
    }
}

/// A number that has 16 bits in the processor and more on the wire.
pub(super) fn sixteen_bits(field: &str, value: u32) -> Result<u16, Wrong> {
    u16::try_from(value)
        .map_err(|_too_large| Wrong::new(field, value.into(), "it has 16 bits; give 0x0 to 0xffff"))
}
