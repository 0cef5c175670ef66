//! A VM, and what its type makes of each call.
//!
//! **Invariant:** outside the process that made it, or once KVM has declared it dead, every call is EIO (kernel.md section 6).

mod create;
mod ioctls;

use std::collections::BTreeMap;

pub(crate) use self::create::{create, types};
pub(crate) use self::ioctls::{Made, ioctl, vcpu_ioctl};

use crate::memory::Memory;
use crate::snp::Snp;
use crate::tdx::Tdx;
use crate::vcpu::Vcpu;

/// The types of VM that the model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmType {
    /// `KVM_X86_DEFAULT_VM`: memory and vCPUs that can be set up and not run.
    Plain,
    /// `KVM_X86_SNP_VM`.
    Snp,
    /// `KVM_X86_TDX_VM`.
    Tdx,
}

/// A VM.
#[derive(Debug)]
pub struct Vm {
    /// The process that it belongs to.
    pub pid: u32,
    /// What every VM has.
    pub common: Common,
    /// What its type adds.
    pub arch: Arch,
}

/// What every VM has.
#[derive(Debug, Default)]
pub struct Common {
    /// Counts the VMs of a process from 0.
    pub id: u64,
    /// KVM declared it dead (`KVM_BUG()`).
    pub dead: bool,
    /// Its memory.
    pub memory: Memory,
    /// Its vCPUs, by index.
    pub vcpus: BTreeMap<u32, Vcpu>,
    /// The interrupt controller is split.
    pub split_irqchip: bool,
}

/// What a VM's type adds.
#[derive(Debug)]
pub enum Arch {
    /// Nothing.
    Plain,
    /// An SNP guest.
    Snp(Snp),
    /// A TD.
    Tdx(Tdx),
}

impl Arch {
    /// Which type it is.
    #[must_use]
    pub fn vm_type(&self) -> VmType {
        match self {
            Self::Plain => VmType::Plain,
            Self::Snp(_) => VmType::Snp,
            Self::Tdx(_) => VmType::Tdx,
        }
    }
}

impl VmType {
    /// `KVM_X86_…_VM`.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::Plain => 0,
            Self::Snp => 4,
            Self::Tdx => 5,
        }
    }
}
