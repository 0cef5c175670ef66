//! Which bits of the control registers a processor has, by its CPUID table.
//!
//! **Invariant:** a bit that this file does not know is not allowed.

use super::{CpuidLeaf, CpuidTable};

/// A register of a leaf's answer.
type Register = fn(CpuidLeaf) -> u32;

const EAX: Register = |leaf| leaf.eax;
const EBX: Register = |leaf| leaf.ebx;
const ECX: Register = |leaf| leaf.ecx;
const EDX: Register = |leaf| leaf.edx;

/// A bit of a control register, and the CPUID bit that announces it: function, index, register, bit.
type Gate = (u32, (u32, u32, Register, u32));

const CR4: &[Gate] = &[
    (0, (1, 0, EDX, 1)),   // VME
    (1, (1, 0, EDX, 1)),   // PVI
    (2, (1, 0, EDX, 4)),   // TSD
    (3, (1, 0, EDX, 2)),   // DE
    (4, (1, 0, EDX, 3)),   // PSE
    (5, (1, 0, EDX, 6)),   // PAE
    (6, (1, 0, EDX, 7)),   // MCE
    (7, (1, 0, EDX, 13)),  // PGE
    (9, (1, 0, EDX, 24)),  // OSFXSR
    (10, (1, 0, EDX, 25)), // OSXMMEXCPT
    (11, (7, 0, ECX, 2)),  // UMIP
    (12, (7, 0, ECX, 16)), // LA57
    (13, (1, 0, ECX, 5)),  // VMXE
    (14, (1, 0, ECX, 6)),  // SMXE
    (16, (7, 0, EBX, 0)),  // FSGSBASE
    (17, (1, 0, ECX, 17)), // PCIDE
    (18, (1, 0, ECX, 26)), // OSXSAVE
    (20, (7, 0, EBX, 7)),  // SMEP
    (21, (7, 0, EBX, 20)), // SMAP
    (22, (7, 0, ECX, 3)),  // PKE
    (23, (7, 0, ECX, 7)),  // CET, for its shadow stacks
    (23, (7, 0, EDX, 20)), // CET, for its branch tracking
    (28, (7, 1, EAX, 26)), // LAM_SUP
];

const EFER: &[Gate] = &[
    (0, (0x8000_0001, 0, EDX, 11)),  // SCE
    (8, (0x8000_0001, 0, EDX, 29)),  // LME
    (10, (0x8000_0001, 0, EDX, 29)), // LMA
    (11, (0x8000_0001, 0, EDX, 20)), // NXE
    (12, (0x8000_0001, 0, ECX, 2)),  // SVME
    (14, (0x8000_0001, 0, EDX, 25)), // FFXSR
    (15, (0x8000_0001, 0, ECX, 17)), // TCE
    (21, (0x8000_0021, 0, EAX, 8)),  // AIBRSE
];

/// CR4.PCE, which nothing announces.
const PCE: u64 = 1 << 8;

impl CpuidTable {
    /// The bits that CR4 may have on this processor. Which of them go together is for the kernel to say.
    pub fn cr4_bits(&self) -> u64 {
        PCE | self.announced(CR4)
    }

    /// The bits that EFER may have on this processor. Which of them go together is for the kernel to say.
    pub fn efer_bits(&self) -> u64 {
        self.announced(EFER)
    }

    fn announced(&self, gates: &[Gate]) -> u64 {
        gates
            .iter()
            .filter(|(_, (function, index, register, bit))| {
                self.leaf(*function, *index)
                    .is_some_and(|leaf| register(leaf) >> bit & 1 == 1)
            })
            .fold(0, |bits, (bit, _)| bits | 1 << bit)
    }
}

#[cfg(test)]
mod tests {
    use kvm_bindings::kvm_cpuid_entry2;

    use super::*;

    #[test]
    fn a_bit_is_allowed_once_it_is_announced() {
        let silent = CpuidTable::from_abi(&[]);
        assert_eq!((silent.cr4_bits(), silent.efer_bits()), (PCE, 0));
        let five_level = kvm_cpuid_entry2 {
            function: 7,
            flags: 1,
            ecx: 1 << 16,
            ..Default::default()
        };
        let no_execute = kvm_cpuid_entry2 {
            function: 0x8000_0001,
            edx: 1 << 20,
            ..Default::default()
        };
        let table = CpuidTable::from_abi(&[five_level, no_execute]);
        assert_eq!(table.cr4_bits(), PCE | 1 << 12);
        assert_eq!(table.efer_bits(), 1 << 11);
    }
}
