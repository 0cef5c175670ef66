//! The processor's mode at the kernel's first instruction.
//!
//! Linux's boot protocol wants more than the API's `long_mode`: code segment 0x10 and data segment 0x18 from a table that is loaded, so that
//! the kernel can load them again. Everything else is as in that mode.

use crate::{
    addr::Gpa,
    v1::{DescriptorTable, GeneralRegisters, Segment, VcpuRegisters, VcpuState, vcpu_state::State},
};

/// What kind of code the kernel begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::image) enum Mode {
    /// 64-bit code, with page tables.
    Long,
    /// 32-bit code, without.
    Flat,
}

/// Where the registers point to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pointers {
    pub(super) entry: Gpa,
    pub(super) params: Gpa,
    pub(super) gdt: Gpa,
    /// The top page table, in 64-bit mode.
    pub(super) tables: Option<Gpa>,
}

/// Present, data that can be written, flat.
const DATA: u32 = 0xc093;
/// CR0: PE and ET.
const PROTECTED: u64 = 1 | 1 << 4;
/// CR0: PE, MP, ET, NE and PG.
const PAGED: u64 = PROTECTED | 1 << 1 | 1 << 5 | 1 << 31;
/// CR4: PAE, OSFXSR and OSXMMEXCPT.
const CR4: u64 = 1 << 5 | 1 << 9 | 1 << 10;
/// EFER: LME, LMA and NXE.
const EFER: u64 = 1 << 8 | 1 << 10 | 1 << 11;

impl Mode {
    /// Attributes of the code segment: present, code that can be read, flat, and 64 or 32 bits wide.
    fn code(self) -> u32 {
        match self {
            Self::Long => 0xa09b,
            Self::Flat => 0xc09b,
        }
    }

    /// The descriptor table: selectors 0x0 and 0x8 are nothing, 0x10 is code, 0x18 data.
    pub(super) fn gdt(self) -> Vec<u8> {
        let flat = |attributes: u32| {
            let attributes = u64::from(attributes);
            0xffff | (attributes & 0xff) << 40 | 0xf << 48 | attributes >> 12 << 52
        };
        let table = [0, 0, flat(self.code()), flat(DATA)];
        table.into_iter().flat_map(u64::to_le_bytes).collect()
    }

    /// The first vCPU.
    pub(super) fn state(self, at: Pointers) -> VcpuState {
        let flat = |selector, attributes| {
            Some(Segment {
                selector,
                attributes,
                limit: u32::MAX,
                base: 0,
            })
        };
        let data = flat(0x18, DATA);
        let gdt = DescriptorTable {
            base: at.gdt.bytes(),
            limit: 0x1f,
        };
        let (cr0, cr4, efer) = match self {
            Self::Long => (PAGED, CR4, EFER),
            Self::Flat => (PROTECTED, 0, 0),
        };
        let registers = VcpuRegisters {
            general: Some(GeneralRegisters {
                rsi: at.params.bytes(),
                ..GeneralRegisters::default()
            }),
            rip: at.entry.bytes(),
            rflags: 2,
            cs: flat(0x10, self.code()),
            ds: data,
            es: data,
            fs: data,
            gs: data,
            ss: data,
            gdtr: Some(gdt),
            idtr: Some(DescriptorTable { base: 0, limit: 0 }),
            cr0,
            cr3: at.tables.map_or(0, Gpa::bytes),
            cr4,
            efer,
            ..VcpuRegisters::default()
        };
        VcpuState {
            index: 0,
            state: Some(State::Registers(registers)),
        }
    }
}
