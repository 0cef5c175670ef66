//! All registers of a vCPU, as its first instruction finds them.

use stagepages_kvm::{DescriptorTable, GeneralRegisters, Segment};

/// CR0.PE: protection.
pub(super) const PE: u64 = 1;
/// CR0.PG: paging.
pub(super) const PG: u64 = 1 << 31;
/// CR4.PAE: page table entries of 64 bits.
pub(super) const PAE: u64 = 1 << 5;
/// EFER.LME: 64-bit mode is wanted.
pub(super) const LME: u64 = 1 << 8;
/// EFER.LMA: 64-bit mode is there.
pub(super) const LMA: u64 = 1 << 10;
/// RFLAGS.VM: virtual-8086 mode.
pub(super) const VM: u64 = 1 << 17;
/// Attributes, L: 64-bit code.
pub(super) const L: u16 = 1 << 13;

/// A full set of registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registers {
    /// General registers, instruction pointer and flags.
    pub general: GeneralRegisters,
    /// Code segment.
    pub cs: Segment,
    /// Data segment.
    pub ds: Segment,
    /// Extra segment.
    pub es: Segment,
    /// FS.
    pub fs: Segment,
    /// GS.
    pub gs: Segment,
    /// Stack segment.
    pub ss: Segment,
    /// Task register.
    pub tr: Segment,
    /// Local descriptor table.
    pub ldtr: Segment,
    /// Global descriptor table.
    pub gdtr: DescriptorTable,
    /// Interrupt descriptor table.
    pub idtr: DescriptorTable,
    /// CR0.
    pub cr0: u64,
    /// CR2.
    pub cr2: u64,
    /// CR3.
    pub cr3: u64,
    /// CR4.
    pub cr4: u64,
    /// EFER. LMA is set exactly when LME and CR0.PG are.
    pub efer: u64,
    /// Page attribute table.
    pub pat: u64,
}

impl Registers {
    /// Segments, tables and control registers after reset (Intel SDM volume 3, table 10-1), but with caches on, and all general registers
    /// 0: where the code is, is for the caller to say.
    pub(super) fn cleared() -> Self {
        let data = segment(0, 0x93);
        let table = DescriptorTable {
            base: 0,
            limit: 0xffff,
        };
        Self {
            general: GeneralRegisters {
                rflags: 2,
                ..GeneralRegisters::default()
            },
            cs: Segment {
                base: 0xffff_0000,
                ..segment(0xf000, 0x9b)
            },
            ds: data,
            es: data,
            fs: data,
            gs: data,
            ss: data,
            tr: segment(0, 0x8b),
            ldtr: segment(0, 0x82),
            gdtr: table,
            idtr: table,
            cr0: 1 << 4,
            cr2: 0,
            cr3: 0,
            cr4: 0,
            efer: 0,
            pat: 0x0007_0406_0007_0406,
        }
    }

    /// Whether the processor is in 64-bit mode, or in its compatibility mode.
    pub(super) fn is_long(&self) -> bool {
        self.efer & LMA != 0
    }

    /// Whether its code is 64-bit code.
    pub(super) fn is_64_bit(&self) -> bool {
        self.is_long() && self.cs.attributes & L != 0
    }
}

/// A segment of 64 KiB, as all are after reset.
pub(super) fn segment(selector: u16, attributes: u16) -> Segment {
    Segment {
        selector,
        attributes,
        limit: 0xffff,
        base: u64::from(selector) << 4,
    }
}
