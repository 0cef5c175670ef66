//! What a vCPU says of itself: its CPUID table.
//!
//! **Invariant:** leaves are read and adapted, never invented.

mod control;
mod edit;

use kvm_bindings::{CpuId, kvm_cpuid_entry2};

pub use self::edit::CpuidEntry;

use crate::KvmError;

/// Basic features and the 8-bit APIC id.
const FEATURES: u32 = 1;
/// The topology, twice: each subleaf gives the 32-bit APIC id.
const TOPOLOGY: [u32; 2] = [0xb, 0x1f];
/// Address sizes.
const ADDRESS_SIZES: u32 = 0x8000_0008;
/// The topology as AMD's processors have it.
const AMD_TOPOLOGY: u32 = 0x8000_001e;

/// The answer of CPUID for one function (EAX) and index (ECX).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuidLeaf {
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ECX.
    pub ecx: u32,
    /// EDX.
    pub edx: u32,
}

impl CpuidLeaf {
    fn from_abi(entry: &kvm_cpuid_entry2) -> Self {
        Self {
            eax: entry.eax,
            ebx: entry.ebx,
            ecx: entry.ecx,
            edx: entry.edx,
        }
    }
}

/// Everything that CPUID says on a vCPU.
#[derive(Clone, Debug)]
pub struct CpuidTable(Vec<kvm_cpuid_entry2>);

impl CpuidTable {
    pub(crate) fn from_abi(entries: &[kvm_cpuid_entry2]) -> Self {
        Self(entries.to_vec())
    }

    /// The table as `KVM_SET_CPUID2`, named by `op`, takes it.
    pub(crate) fn to_abi(&self, op: &'static str) -> Result<CpuId, KvmError> {
        CpuId::from_entries(&self.0).or(Err(KvmError::from_errno(op, libc::E2BIG)))
    }

    /// The entries as the kernel has them.
    pub(crate) fn as_abi(&self) -> &[kvm_cpuid_entry2] {
        &self.0
    }

    /// A leaf; `None` if the table has none, which a guest reads as zeros or, on Intel's processors, as another leaf. Where the function
    /// has no index, `index` does not matter.
    pub fn leaf(&self, function: u32, index: u32) -> Option<CpuidLeaf> {
        let significant = |entry: &kvm_cpuid_entry2| {
            entry.flags & kvm_bindings::KVM_CPUID_FLAG_SIGNIFCANT_INDEX != 0
        };
        self.0
            .iter()
            .find(|entry| {
                entry.function == function && (!significant(entry) || entry.index == index)
            })
            .map(CpuidLeaf::from_abi)
    }

    /// The table of the vCPU with this index: the same processor with the index as its APIC id, where leaves 1 (its low 8 bits), 0xb,
    /// 0x1f and 0x8000001e say one.
    #[must_use]
    pub fn for_vcpu(&self, index: u32) -> Self {
        let mut table = self.clone();
        for entry in &mut table.0 {
            match entry.function {
                FEATURES => entry.ebx = entry.ebx & 0x00ff_ffff | index << 24,
                AMD_TOPOLOGY => entry.eax = index,
                function if TOPOLOGY.contains(&function) => entry.edx = index,
                _ => {}
            }
        }
        table
    }

    /// How many bits a guest-physical address has: 36 where the processor does not say.
    pub fn physical_address_bits(&self) -> u32 {
        self.leaf(ADDRESS_SIZES, 0)
            .map_or(36, |leaf| leaf.eax & 0xff)
    }

    /// How many bits a guest-physical address has where that is fewer or more than the processor has (leaf 0x80000008, EAX bits 23 to 16):
    /// 0 where it is the same, `None` if the table lacks the leaf. On TDX the width that the launch chose.
    pub fn guest_physical_bits(&self) -> Option<u8> {
        let [_, _, bits, _] = self.leaf(ADDRESS_SIZES, 0)?.eax.to_le_bytes();
        Some(bits)
    }

    /// How many bits a linear address can have: 57 with five-level paging, which CR4.LA57 has to turn on; 48 where the processor does
    /// not say.
    pub fn linear_address_bits(&self) -> u32 {
        self.leaf(ADDRESS_SIZES, 0)
            .map_or(48, |leaf| leaf.eax >> 8 & 0xff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> CpuidTable {
        let entry = |function, index, flags, eax, ebx| kvm_cpuid_entry2 {
            function,
            index,
            flags,
            eax,
            ebx,
            ..Default::default()
        };
        CpuidTable::from_abi(&[
            entry(1, 0, 0, 0x800f12, 0xab01_0800),
            entry(7, 0, 1, 1, 0),
            entry(7, 1, 1, 2, 0),
            entry(0xb, 0, 1, 0, 0),
            entry(0xb, 1, 1, 0, 0),
            entry(0x8000_0008, 0, 0, 0x0030_3930, 0),
        ])
    }

    #[test]
    fn an_index_matters_where_the_kernel_says_so() {
        let table = table();
        let eax = |function, index| table.leaf(function, index).map(|leaf| leaf.eax);
        assert_eq!(eax(1, 5), Some(0x800f12));
        assert_eq!(
            [0, 1, 2].map(|index| eax(7, index)),
            [Some(1), Some(2), None]
        );
        assert_eq!(eax(2, 0), None);
    }

    #[test]
    fn a_vcpu_has_its_own_apic_id_and_the_same_processor() {
        let all = table();
        let table = all.for_vcpu(0x103);
        let ids = [0, 1].map(|index| table.leaf(0xb, index).unwrap().edx);
        assert_eq!(ids, [0x103; 2]);
        assert_eq!(table.leaf(1, 0).unwrap().ebx, 0x0301_0800);
        assert_eq!(table.leaf(7, 1), all.leaf(7, 1));
    }

    #[test]
    fn addresses_are_as_wide_as_the_processor_says() {
        assert_eq!(table().physical_address_bits(), 0x30);
        assert_eq!(table().linear_address_bits(), 0x39);
        assert_eq!(table().guest_physical_bits(), Some(0x30));
        let silent = CpuidTable::from_abi(&[]);
        assert_eq!(silent.guest_physical_bits(), None);
        assert_eq!(
            (silent.physical_address_bits(), silent.linear_address_bits()),
            (36, 48)
        );
    }
}
