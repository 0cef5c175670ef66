//! TDX: what kvm-bindings lacks altogether, as of Linux 7.1.
//!
//! **Invariant:** no table is read or written past its room, whatever its count says. No struct here has bytes that no field covers, so a
//! value with zero padding is a structure with zero padding.

use std::mem::{offset_of, size_of};

use kvm_bindings::kvm_cpuid_entry2;

pub(crate) const KVM_TDX_CAPABILITIES: u32 = 0;
pub(crate) const KVM_TDX_INIT_VM: u32 = 1;
pub(crate) const KVM_TDX_INIT_VCPU: u32 = 2;
pub(crate) const KVM_TDX_INIT_MEM_REGION: u32 = 3;
pub(crate) const KVM_TDX_FINALIZE_VM: u32 = 4;

/// A flag of [`KVM_TDX_INIT_MEM_REGION`]: the contents are measured, not only where they are.
pub(crate) const KVM_TDX_MEASURE_MEMORY_REGION: u32 = 1;

/// How many entries a table has room for: `KVM_MAX_CPUID_ENTRIES`, the kernel's own limit.
pub(crate) const MAX_NENT: u32 = 256;

const ENTRIES: usize = MAX_NENT as usize;

/// `struct kvm_tdx_cmd`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct TdxCmd {
    pub(crate) id: u32,
    pub(crate) flags: u32,
    pub(crate) data: u64,
    pub(crate) hw_error: u64,
}

/// `struct kvm_cpuid2` with as many entries as it may have.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Cpuid2 {
    pub(crate) nent: u32,
    pub(crate) padding: u32,
    pub(crate) entries: [kvm_cpuid_entry2; ENTRIES],
}

impl Cpuid2 {
    /// A table with these entries and zeros behind them; `None` if there are too many.
    pub(crate) fn new(entries: &[kvm_cpuid_entry2]) -> Option<Self> {
        let mut table = Self {
            nent: u32::try_from(entries.len()).ok()?,
            padding: 0,
            entries: [kvm_cpuid_entry2::default(); ENTRIES],
        };
        table
            .entries
            .get_mut(..entries.len())?
            .copy_from_slice(entries);
        Some(table)
    }

    /// The entries that `nent` counts; `None` if it counts more than there is room for.
    pub(crate) fn counted(&self) -> Option<&[kvm_cpuid_entry2]> {
        self.entries.get(..usize::try_from(self.nent).ok()?)
    }
}

/// `struct kvm_tdx_capabilities`.
#[repr(C)]
pub(crate) struct Capabilities {
    pub(crate) supported_attrs: u64,
    pub(crate) supported_xfam: u64,
    /// Which calls of the guest the kernel and user space answer: r11 and r12 of each.
    pub(crate) tdvmcallinfo: [u64; 4],
    pub(crate) reserved: [u64; 250],
    pub(crate) cpuid: Cpuid2,
}

/// `struct kvm_tdx_init_vm`.
#[repr(C)]
pub(crate) struct InitVm {
    pub(crate) attributes: u64,
    pub(crate) xfam: u64,
    pub(crate) mrconfigid: [u8; 48],
    pub(crate) mrowner: [u8; 48],
    pub(crate) mrownerconfig: [u8; 48],
    pub(crate) reserved: [u64; 12],
    pub(crate) cpuid: Cpuid2,
}

/// `struct kvm_tdx_init_mem_region`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct InitMemRegion {
    pub(crate) source_addr: u64,
    /// In bytes, unlike the GFN of SNP.
    pub(crate) gpa: u64,
    pub(crate) nr_pages: u64,
}

const _: () = {
    assert!(size_of::<TdxCmd>() == 24);
    assert!(offset_of!(TdxCmd, id) == 0);
    assert!(offset_of!(TdxCmd, flags) == 4);
    assert!(offset_of!(TdxCmd, data) == 8);
    assert!(offset_of!(TdxCmd, hw_error) == 16);
};

const _: () = {
    assert!(ENTRIES == kvm_bindings::KVM_MAX_CPUID_ENTRIES);
    assert!(size_of::<kvm_cpuid_entry2>() == 40);
    assert!(size_of::<Cpuid2>() == 8 + ENTRIES * 40);
    assert!(offset_of!(Cpuid2, nent) == 0);
    assert!(offset_of!(Cpuid2, padding) == 4);
    assert!(offset_of!(Cpuid2, entries) == 8);
};

const _: () = {
    assert!(size_of::<Capabilities>() == 2056 + ENTRIES * 40);
    assert!(offset_of!(Capabilities, supported_attrs) == 0);
    assert!(offset_of!(Capabilities, supported_xfam) == 8);
    assert!(offset_of!(Capabilities, tdvmcallinfo) == 16);
    assert!(offset_of!(Capabilities, reserved) == 48);
    assert!(offset_of!(Capabilities, cpuid) == 2048);
};

const _: () = {
    assert!(size_of::<InitVm>() == 264 + ENTRIES * 40);
    assert!(offset_of!(InitVm, attributes) == 0);
    assert!(offset_of!(InitVm, xfam) == 8);
    assert!(offset_of!(InitVm, mrconfigid) == 16);
    assert!(offset_of!(InitVm, mrowner) == 64);
    assert!(offset_of!(InitVm, mrownerconfig) == 112);
    assert!(offset_of!(InitVm, reserved) == 160);
    assert!(offset_of!(InitVm, cpuid) == 256);
};

const _: () = {
    assert!(size_of::<InitMemRegion>() == 24);
    assert!(offset_of!(InitMemRegion, source_addr) == 0);
    assert!(offset_of!(InitMemRegion, gpa) == 8);
    assert!(offset_of!(InitMemRegion, nr_pages) == 16);
};
