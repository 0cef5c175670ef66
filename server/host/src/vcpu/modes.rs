//! The two modes in which a vCPU can begin with little said.
//!
//! What a mode sets beside what the caller says is the same on every processor, so that a measurement of it can be foretold.

use stagepages_kvm::{DescriptorTable, GeneralRegisters, Segment};

use super::{
    Registers, Rules,
    addresses::{canonical, check_cr3},
    parse::general,
    registers::{LMA, LME, PAE, PE, PG, segment},
    wrong::{Wrong, sixteen_bits},
};
use crate::protocol;

/// PE, MP, ET, NE and PG: protection and paging, with the floating point unit as 64-bit code expects it.
const LONG_CR0: u64 = PE | 1 << 1 | 1 << 4 | 1 << 5 | PG;
/// PAE, which 64-bit mode needs, and OSFXSR and OSXMMEXCPT: compilers use SSE in 64-bit code.
const LONG_CR4: u64 = PAE | 1 << 9 | 1 << 10;
/// LME and LMA, and NXE: without it the NX bit of a page table entry is reserved, and a table that uses it faults.
const LONG_EFER: u64 = LME | LMA | 1 << 11;

/// 16-bit real mode, interrupts off, all segments but CS 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealMode {
    /// The code segment's selector, a sixteenth of its base.
    pub cs: u16,
    /// `rip`, `rsp` and all others.
    pub general: GeneralRegisters,
}

/// 64-bit mode, privilege level 0, interrupts off, flat segments, no descriptor tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongMode {
    /// Address of the top page table.
    pub cr3: u64,
    /// `rip`, `rsp` and all others.
    pub general: GeneralRegisters,
}

impl RealMode {
    pub(super) fn new(given: &protocol::RealMode) -> Result<Self, Wrong> {
        Ok(Self {
            cs: sixteen_bits("real_mode.cs", given.cs)?,
            general: GeneralRegisters {
                rip: sixteen_bits("real_mode.ip", given.ip)?.into(),
                rsp: sixteen_bits("real_mode.sp", given.sp)?.into(),
                rflags: 2,
                ..general(given.general.as_ref())
            },
        })
    }

    pub(super) fn registers(&self) -> Registers {
        Registers {
            general: self.general,
            cs: segment(self.cs, 0x9b),
            ..Registers::cleared()
        }
    }
}

impl LongMode {
    pub(super) fn new(given: &protocol::LongMode, rules: &Rules<'_>) -> Result<Self, Wrong> {
        let state = Self {
            cr3: given.cr3,
            general: GeneralRegisters {
                rip: given.rip,
                rsp: given.rsp,
                rflags: 2,
                ..general(given.general.as_ref())
            },
        };
        let lacking = LONG_EFER & !rules.cpu.efer_bits | LONG_CR4 & !rules.cpu.cr4_bits;
        if lacking != 0 {
            return Err(Wrong::new(
                "long_mode",
                lacking,
                "the processor has not all of 64-bit mode, NX and SSE; give registers without the missing one",
            ));
        }
        canonical("rip", given.rip, 48)
            .and_then(|()| canonical("rsp", given.rsp, 48))
            .and_then(|()| check_cr3(&state.registers(), rules))
            .map_err(|wrong| wrong.inside("long_mode"))?;
        Ok(state)
    }

    pub(super) fn registers(&self) -> Registers {
        let flat = |selector, attributes| Segment {
            selector,
            attributes,
            limit: u32::MAX,
            base: 0,
        };
        let data = flat(0x10, 0xc093);
        let no_table = DescriptorTable { base: 0, limit: 0 };
        Registers {
            general: self.general,
            cs: flat(0x8, 0xa09b),
            ds: data,
            es: data,
            fs: data,
            gs: data,
            ss: data,
            ldtr: Segment::default(),
            gdtr: no_table,
            idtr: no_table,
            cr0: LONG_CR0,
            cr3: self.cr3,
            cr4: LONG_CR4,
            efer: LONG_EFER,
            ..Registers::cleared()
        }
    }
}
