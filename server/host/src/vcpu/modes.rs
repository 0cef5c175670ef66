//! The two modes in which a vCPU can begin with little said.
//!
//! What a mode sets beside what the caller says is the same on every processor, so that a measurement of it can be foretold.

use stagepages_digest::{
    vcpu::{Wrong, canonical, check_cr3, sixteen_bits},
    vmsa::General,
};

use super::{Registers, Rules, parse::general};
use crate::protocol;

/// 16-bit real mode, interrupts off, all segments but CS 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealMode {
    /// The code segment's selector, a sixteenth of its base.
    pub cs: u16,
    /// `rip`, `rsp` and all others but the flags.
    pub general: General,
}

/// 64-bit mode, privilege level 0, interrupts off, flat segments, no descriptor tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongMode {
    /// Address of the top page table.
    pub cr3: u64,
    /// `rip`, `rsp` and all others but the flags.
    pub general: General,
}

impl RealMode {
    pub(super) fn new(given: &protocol::RealMode) -> Result<Self, Wrong> {
        Ok(Self {
            cs: sixteen_bits("real_mode.cs", given.cs)?,
            general: General {
                rip: sixteen_bits("real_mode.ip", given.ip)?.into(),
                rsp: sixteen_bits("real_mode.sp", given.sp)?.into(),
                ..general(given.general.as_ref())
            },
        })
    }

    pub(super) fn registers(&self) -> Registers {
        Registers::real_mode(self.cs, &self.general)
    }
}

impl LongMode {
    pub(super) fn new(given: &protocol::LongMode, rules: &Rules<'_>) -> Result<Self, Wrong> {
        let state = Self {
            cr3: given.cr3,
            general: General {
                rip: given.rip,
                rsp: given.rsp,
                ..general(given.general.as_ref())
            },
        };
        let registers = state.registers();
        let lacking = registers.efer & !rules.cpu.efer_bits | registers.cr4 & !rules.cpu.cr4_bits;
        if lacking != 0 {
            return Err(Wrong::new(
                "long_mode",
                lacking,
                "the processor has not all of 64-bit mode, NX and SSE; give registers without the missing one",
            ));
        }
        canonical("rip", given.rip, 48)
            .and_then(|()| canonical("rsp", given.rsp, 48))
            .and_then(|()| check_cr3(&registers, rules))
            .map_err(|wrong| wrong.inside("long_mode"))?;
        Ok(state)
    }

    pub(super) fn registers(&self) -> Registers {
        Registers::long_mode(self.cr3, &self.general)
    }
}
