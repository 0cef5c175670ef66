//! Reading a table entry by entry, and making one for a guest whose CPUID is fixed at its launch.
//!
//! **Invariant:** no bit is set that is not asked for by name.

use kvm_bindings::{KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2};

use super::{ADDRESS_SIZES, CpuidLeaf, CpuidTable, FEATURES};

/// ECX of leaf 1: the processor has x2APIC mode.
const X2APIC: u32 = 1 << 21;

/// An entry of a [`CpuidTable`]: a question to CPUID, and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuidEntry {
    /// The function (EAX).
    pub function: u32,
    /// The index (ECX); `None` where the function has none.
    pub index: Option<u32>,
    /// The answer.
    pub leaf: CpuidLeaf,
}

impl CpuidEntry {
    fn from_abi(entry: &kvm_cpuid_entry2) -> Self {
        let significant = entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX != 0;
        Self {
            function: entry.function,
            index: significant.then_some(entry.index),
            leaf: CpuidLeaf::from_abi(entry),
        }
    }

    fn to_abi(self) -> kvm_cpuid_entry2 {
        let CpuidLeaf { eax, ebx, ecx, edx } = self.leaf;
        kvm_cpuid_entry2 {
            function: self.function,
            index: self.index.unwrap_or(0),
            flags: self
                .index
                .map_or(0, |_index| KVM_CPUID_FLAG_SIGNIFCANT_INDEX),
            eax,
            ebx,
            ecx,
            edx,
            ..Default::default()
        }
    }
}

/// Any number of entries; the kernel takes 256 at most, and says so when it gets the table.
impl FromIterator<CpuidEntry> for CpuidTable {
    fn from_iter<I: IntoIterator<Item = CpuidEntry>>(entries: I) -> Self {
        Self(entries.into_iter().map(CpuidEntry::to_abi).collect())
    }
}

impl CpuidTable {
    /// The entries, in the table's order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = CpuidEntry> {
        self.0.iter().map(CpuidEntry::from_abi)
    }

    /// The entries that `mask` has too, with the bits that are set in both. An entry of `mask` that this table has no answer for is left out.
    ///
    /// With [`TdxCapabilities::cpuid`](crate::TdxCapabilities::cpuid) as the mask it is what
    /// [`TdxInit::cpuid`](crate::TdxInit::cpuid) may be: any other leaf is refused (`setup_tdparams_cpuids()`, `arch/x86/kvm/vmx/tdx.c`).
    #[must_use]
    pub fn masked_by(&self, mask: &Self) -> Self {
        mask.entries()
            .filter_map(
                |CpuidEntry {
                     function,
                     index,
                     leaf: mask,
                 }| {
                    let leaf = self.leaf(function, index.unwrap_or(0))?;
                    Some(CpuidEntry {
                        function,
                        index,
                        leaf: CpuidLeaf {
                            eax: leaf.eax & mask.eax,
                            ebx: leaf.ebx & mask.ebx,
                            ecx: leaf.ecx & mask.ecx,
                            edx: leaf.edx & mask.edx,
                        },
                    })
                },
            )
            .collect()
    }

    /// The same processor with `bits` as the width of the guest's own physical addresses (leaf 0x80000008, EAX bits 23 to 16), where the
    /// table has that leaf. A TD wants 48 or 52 there.
    #[must_use]
    pub fn with_guest_physical_bits(&self, bits: u8) -> Self {
        let field = u32::from(bits) << 16;
        self.edited(ADDRESS_SIZES, |entry| {
            entry.eax = entry.eax & 0xff00_ffff | field;
        })
    }

    /// The same processor with x2APIC mode (leaf 1, ECX bit 21), where the table has that leaf. A TD's vCPUs are refused without it.
    #[must_use]
    pub fn with_x2apic(&self) -> Self {
        self.edited(FEATURES, |entry| entry.ecx |= X2APIC)
    }

    /// The same table with every entry of a function changed.
    fn edited(&self, function: u32, change: impl Fn(&mut kvm_cpuid_entry2)) -> Self {
        let mut table = self.clone();
        table
            .0
            .iter_mut()
            .filter(|entry| entry.function == function)
            .for_each(change);
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(function: u32, index: Option<u32>, registers: [u32; 4]) -> CpuidEntry {
        let [eax, ebx, ecx, edx] = registers;
        CpuidEntry {
            function,
            index,
            leaf: CpuidLeaf { eax, ebx, ecx, edx },
        }
    }

    #[test]
    fn entries_survive_a_table() {
        let entries = [
            entry(1, None, [1, 2, 3, 4]),
            entry(7, Some(0), [5, 6, 7, 8]),
            entry(7, Some(2), [0, 0, 0, u32::MAX]),
        ];
        let table: CpuidTable = entries.into_iter().collect();
        assert!(table.entries().eq(entries));
    }

    #[test]
    fn a_mask_leaves_its_own_leaves_and_bits_only() {
        let table: CpuidTable = [
            entry(1, None, [0xf0, 0xf1, 0xf2, 0xf3]),
            entry(7, Some(0), [1, 1, 1, 1]),
            entry(7, Some(1), [0x3c, 2, 2, 2]),
            entry(0x1d, Some(0), [3, 3, 3, 3]),
        ]
        .into_iter()
        .collect();
        let mask: CpuidTable = [
            entry(7, Some(1), [0xf, 0, u32::MAX, 0]),
            entry(9, None, [u32::MAX; 4]),
            entry(1, None, [0, 0xff, 0, 0x0f]),
        ]
        .into_iter()
        .collect();
        assert!(table.masked_by(&mask).entries().eq([
            entry(7, Some(1), [0xc, 0, 2, 0]),
            entry(1, None, [0, 0xf1, 0, 3]),
        ]));
    }

    #[test]
    fn one_field_is_set_and_nothing_else_changes() {
        let table: CpuidTable = [
            entry(1, None, [1, 2, 0x5, 4]),
            entry(0x8000_0008, None, [0x00ff_3934, 6, 7, 8]),
        ]
        .into_iter()
        .collect();
        assert!(table.with_guest_physical_bits(48).entries().eq([
            entry(1, None, [1, 2, 0x5, 4]),
            entry(0x8000_0008, None, [0x0030_3934, 6, 7, 8]),
        ]));
        assert!(table.with_x2apic().for_vcpu(3).entries().eq([
            entry(1, None, [1, 0x0300_0002, 0x0020_0005, 4]),
            entry(0x8000_0008, None, [0x00ff_3934, 6, 7, 8]),
        ]));
    }

    #[test]
    fn a_leaf_that_is_missing_is_not_invented() {
        let table: CpuidTable = [entry(7, Some(0), [1; 4])].into_iter().collect();
        for edited in [table.with_guest_physical_bits(52), table.with_x2apic()] {
            assert!(edited.entries().eq(table.entries()));
        }
    }
}
