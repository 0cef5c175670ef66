//! The TDX module of the modelled machine: which CPUID bits of a TD can be chosen, and how it refuses.
//!
//! **Invariant:** a register's mask says every bit that may differ from zero in `KVM_TDX_INIT_VM`.

use crate::vcpu::CpuidEntry;

/// Another SEAMCALL has the operand (`TDX_OPERAND_BUSY`, `arch/x86/kvm/vmx/tdx_errno.h`).
pub(super) const OPERAND_BUSY: u64 = 0x8000_0200_0000_0000;
/// An operand is not as the module wants it (`TDX_OPERAND_INVALID`).
pub(super) const OPERAND_INVALID: u64 = 0xc000_0100_0000_0000;
/// The leaf with the width of guest physical addresses.
pub(super) const ADDRESS_SIZES: u32 = 0x8000_0008;
/// The subleaf matters (`KVM_CPUID_FLAG_SIGNIFCANT_INDEX`).
pub(super) const SUBLEAF_MATTERS: u32 = 1;

/// The leaves that can be configured; each register is the mask of its configurable bits.
pub(super) fn configurable() -> Vec<CpuidEntry> {
    let leaf = |function, [eax, ebx, ecx, edx]: [u32; 4]| CpuidEntry {
        function,
        eax,
        ebx,
        ecx,
        edx,
        ..CpuidEntry::default()
    };
    let subleaf = |function, index, registers| CpuidEntry {
        index,
        flags: SUBLEAF_MATTERS,
        ..leaf(function, registers)
    };
    vec![
        // Family and model; the number of logical processors; features that a TD can go without, x2APIC not among them.
        leaf(1, [0x0fff_3fff, 0x00ff_0000, 0x3188_41b9, 0xb8f8_bbff]),
        subleaf(7, 0, [0, 0xd19f_27eb, 0x1b41_5f7e, 0xac51_4d10]),
        subleaf(7, 1, [0x0000_1c30, 0, 0, 0x0000_0020]),
        subleaf(0xd, 1, [0x0000_001f, 0, 0, 0]),
        leaf(0x8000_0007, [0, 0, 0, 0x0000_0100]),
        // The width of guest physical addresses, which KVM reports beside what the module does; WBNOINVD.
        leaf(ADDRESS_SIZES, [0x00ff_0000, 0x0000_0200, 0, 0]),
    ]
}

/// The entry of a table that a leaf is configured by (`kvm_find_cpuid_entry2()`, `arch/x86/kvm/cpuid.c`).
pub(super) fn find<'a>(table: &'a [CpuidEntry], leaf: &CpuidEntry) -> Option<&'a CpuidEntry> {
    table.iter().find(|entry| {
        let matters = entry.flags & SUBLEAF_MATTERS != 0;
        entry.function == leaf.function && (!matters || entry.index == leaf.index)
    })
}

/// The entry sets no bit that the leaf's mask does not have.
pub(super) fn takes(leaf: &CpuidEntry, entry: &CpuidEntry) -> bool {
    let registers = [
        (entry.eax, leaf.eax),
        (entry.ebx, leaf.ebx),
        (entry.ecx, leaf.ecx),
        (entry.edx, leaf.edx),
    ];
    registers.iter().all(|(value, mask)| value & !mask == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_takes_what_its_mask_has_and_nothing_else() {
        for leaf in configurable() {
            assert!(takes(&leaf, &leaf));
            let mut other = leaf;
            other.ecx = !leaf.ecx;
            assert!(!takes(&leaf, &other), "{leaf:x?}");
        }
    }

    #[test]
    fn an_entry_without_a_subleaf_is_found_for_any() {
        let mut entry = CpuidEntry {
            function: 7,
            index: 1,
            flags: SUBLEAF_MATTERS,
            ..CpuidEntry::default()
        };
        let leaves = configurable();
        let found = |entry: CpuidEntry| {
            let leaves = leaves.iter();
            leaves.filter(|leaf| find(&[entry], leaf).is_some()).count()
        };
        assert_eq!(found(entry), 1);
        entry.flags = 0;
        assert_eq!(found(entry), 2);
    }
}
