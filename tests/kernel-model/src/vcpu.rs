//! A vCPU: registers, CPUID, MSRs.
//!
//! **Invariant:** it never runs.

mod cpuid;
mod ioctls;
mod reset;

use std::collections::BTreeMap;

pub use self::cpuid::CpuidEntry;
pub(crate) use self::cpuid::{read_table, supported, write_table};
pub(crate) use self::ioctls::ioctl;

/// A vCPU of a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vcpu {
    /// `struct kvm_regs`.
    pub regs: [u8; 144],
    /// `struct kvm_sregs`.
    pub sregs: [u8; 312],
    /// `KVM_SET_SREGS` was called: until then the VMCB's segments are not those that `KVM_GET_SREGS` shows.
    pub segments_set: bool,
    /// What `KVM_SET_CPUID2` gave.
    pub cpuid: Vec<CpuidEntry>,
    /// The MSRs that were set, by number.
    pub msrs: BTreeMap<u32, u64>,
    /// `KVM_MP_STATE_…`.
    pub mp_state: u32,
    /// The guest's state is encrypted: its registers can be neither read nor set.
    pub protected: bool,
}

impl Vcpu {
    /// One after reset, with this index.
    #[must_use]
    pub fn new(index: u32) -> Self {
        Self {
            regs: reset::regs(),
            sregs: reset::sregs(index),
            segments_set: false,
            cpuid: Vec::new(),
            msrs: reset::msrs(),
            mp_state: if index == 0 { 0 } else { 1 },
            protected: false,
        }
    }

    /// A leaf of what `KVM_SET_CPUID2` gave.
    #[must_use]
    pub fn cpuid_leaf(&self, function: u32, index: u32) -> Option<&CpuidEntry> {
        self.cpuid
            .iter()
            .find(|entry| entry.function == function && entry.index == index)
    }
}
