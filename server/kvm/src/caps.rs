//! What a kernel can do: capabilities, VM types, guest_memfd flags.
//!
//! **Invariant:** everything is asked of the kernel; nothing is derived from its version.

use std::ops::BitOr;

use crate::abi;

/// A capability that `KVM_CHECK_EXTENSION` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cap {
    /// How many memslots a VM can have.
    NrMemslots,
    /// How many vCPUs a VM can have.
    MaxVcpus,
    /// The interrupt controllers can be split between the kernel and user space.
    SplitIrqchip,
    /// `KVM_SET_USER_MEMORY_REGION2` exists.
    UserMemory2,
    /// The memory attributes that a VM supports, as a mask; 0 where it has no private memory.
    MemoryAttributes,
    /// `KVM_CREATE_GUEST_MEMFD` exists.
    GuestMemfd,
    /// The VM types that can be created, as a mask: [`VmTypes`].
    VmTypes,
    /// The flags that a guest_memfd of this VM may have, as a mask: [`GuestMemfdFlags`]. 0 before Linux 6.18.
    GuestMemfdFlags,
}

impl Cap {
    /// The number of the capability.
    pub const fn abi(self) -> u32 {
        match self {
            Self::NrMemslots => kvm_bindings::KVM_CAP_NR_MEMSLOTS,
            Self::MaxVcpus => kvm_bindings::KVM_CAP_MAX_VCPUS,
            Self::SplitIrqchip => kvm_bindings::KVM_CAP_SPLIT_IRQCHIP,
            Self::UserMemory2 => kvm_bindings::KVM_CAP_USER_MEMORY2,
            Self::MemoryAttributes => kvm_bindings::KVM_CAP_MEMORY_ATTRIBUTES,
            Self::GuestMemfd => kvm_bindings::KVM_CAP_GUEST_MEMFD,
            Self::VmTypes => kvm_bindings::KVM_CAP_VM_TYPES,
            Self::GuestMemfdFlags => abi::KVM_CAP_GUEST_MEMFD_FLAGS,
        }
    }

    /// The kernel's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NrMemslots => "KVM_CAP_NR_MEMSLOTS",
            Self::MaxVcpus => "KVM_CAP_MAX_VCPUS",
            Self::SplitIrqchip => "KVM_CAP_SPLIT_IRQCHIP",
            Self::UserMemory2 => "KVM_CAP_USER_MEMORY2",
            Self::MemoryAttributes => "KVM_CAP_MEMORY_ATTRIBUTES",
            Self::GuestMemfd => "KVM_CAP_GUEST_MEMFD",
            Self::VmTypes => "KVM_CAP_VM_TYPES",
            Self::GuestMemfdFlags => "KVM_CAP_GUEST_MEMFD_FLAGS",
        }
    }
}

/// A type of VM on x86. SEV and SEV-ES are missing: they have no guest_memfd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VmType {
    /// A plain VM.
    Default,
    /// Private memory without hardware protection, for the kernel's own tests.
    SwProtected,
    /// AMD SEV-SNP.
    SevSnp,
    /// Intel TDX.
    Tdx,
}

impl VmType {
    /// The number of the type, as `KVM_CREATE_VM` takes it.
    pub const fn abi(self) -> u32 {
        match self {
            Self::Default => kvm_bindings::KVM_X86_DEFAULT_VM,
            Self::SwProtected => kvm_bindings::KVM_X86_SW_PROTECTED_VM,
            Self::SevSnp => kvm_bindings::KVM_X86_SNP_VM,
            Self::Tdx => kvm_bindings::KVM_X86_TDX_VM,
        }
    }

    /// Its bit in the mask of [`Cap::VmTypes`].
    pub const fn bit(self) -> u32 {
        1 << self.abi()
    }
}

/// A set of VM types, also of those that [`VmType`] does not name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VmTypes(u32);

impl VmTypes {
    /// Takes the kernel's mask: bit n is type n.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The kernel's mask.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether VMs of this type can be created.
    pub const fn contains(self, vm_type: VmType) -> bool {
        self.0 & vm_type.bit() != 0
    }
}

/// Flags of a guest_memfd. [`NONE`](Self::NONE) is right for confidential VMs; the others exist from Linux 6.18 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct GuestMemfdFlags(u64);

impl GuestMemfdFlags {
    /// No flag: memory that user space cannot map.
    pub const NONE: Self = Self(0);
    /// The memory can be mapped. A page that is not shared raises SIGBUS when touched.
    pub const MMAP: Self = Self(abi::GUEST_MEMFD_FLAG_MMAP);
    /// All pages start as shared with user space.
    pub const INIT_SHARED: Self = Self(abi::GUEST_MEMFD_FLAG_INIT_SHARED);

    /// Takes the kernel's mask, unknown flags too.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The kernel's mask.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether all flags of `other` are among these.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags of either.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOr for GuestMemfdFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capability_numbers_are_the_kernels() {
        let caps = [
            Cap::NrMemslots,
            Cap::MaxVcpus,
            Cap::SplitIrqchip,
            Cap::UserMemory2,
            Cap::MemoryAttributes,
            Cap::GuestMemfd,
            Cap::VmTypes,
            Cap::GuestMemfdFlags,
        ];
        assert_eq!(caps.map(Cap::abi), [10, 66, 121, 231, 233, 234, 235, 244]);
    }

    #[test]
    fn vm_types_are_bits_of_the_mask() {
        let types = VmTypes::from_bits(0b1_0001);
        assert!(types.contains(VmType::Default) && types.contains(VmType::SevSnp));
        assert!(!types.contains(VmType::SwProtected) && !types.contains(VmType::Tdx));
    }

    #[test]
    fn flags_combine() {
        let both = GuestMemfdFlags::MMAP | GuestMemfdFlags::INIT_SHARED;
        assert_eq!(both.bits(), 3);
        assert!(both.contains(GuestMemfdFlags::MMAP) && both.contains(GuestMemfdFlags::NONE));
        assert!(!GuestMemfdFlags::MMAP.contains(both));
    }
}
