//! Intel TDX: what the host's TDX module allows, and the commands of a launch.
//!
//! ```text
//!  Kvm::create_vm(Tdx) ─▶ tdx_capabilities ─▶ enable_split_irqchip ─▶ tdx_init_vm
//!                          ┌──────────────────────────────────────────────┘
//!                          ├─▶ create_guest_memfd, set_private_region, set_private ─┐
//!                          └─▶ create_vcpu ─▶ set_cpuid ─▶ Vcpu::tdx_init ─▶ Vcpu::tdx_init_mem_region… ─▶ tdx_finalize_vm
//! ```
//!
//! Every command is for a VM of [`VmType::Tdx`](crate::VmType::Tdx). On one of another type the kernel refuses it (`ENOTTY`, `EPERM`,
//! `EINVAL`) or, because SEV numbers its commands from zero too, takes it for a command of SEV that has no structure.
//!
//! **Invariant:** nothing here knows which step a launch is at; the kernel does, and refuses what comes too early or too late.

mod vcpu;

use std::ptr;

use kvm_bindings::{KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2};

use crate::abi::tdx::{
    Capabilities, Cpuid2, InitVm, KVM_TDX_CAPABILITIES, KVM_TDX_FINALIZE_VM, KVM_TDX_INIT_VM,
    MAX_NENT,
};
use crate::encrypt::{self, Command};
use crate::{CpuidTable, KvmError, Vm};

const CAPABILITIES: Command = Command {
    op: "KVM_TDX_CAPABILITIES",
    id: KVM_TDX_CAPABILITIES,
};
const INIT_VM: Command = Command {
    op: "KVM_TDX_INIT_VM",
    id: KVM_TDX_INIT_VM,
};
const FINALIZE_VM: Command = Command {
    op: "KVM_TDX_FINALIZE_VM",
    id: KVM_TDX_FINALIZE_VM,
};

/// What KVM and the TDX module can give to a TD here.
#[derive(Clone, Debug)]
pub struct TdxCapabilities {
    /// The bits that [`TdxInit::attributes`] may have.
    pub supported_attributes: u64,
    /// The bits that [`TdxInit::xfam`] may have.
    pub supported_xfam: u64,
    /// The CPUID leaves that [`TdxInit::cpuid`] may have, each with the bits that can be chosen. All have an index, 0 where the leaf has none.
    pub cpuid: CpuidTable,
}

/// What a TD is made of (`KVM_TDX_INIT_VM`). All of it is attested.
#[derive(Clone, Debug)]
pub struct TdxInit {
    /// ATTRIBUTES, as in the TDX module's ABI.
    pub attributes: u64,
    /// XFAM: the extended features that the guest can use.
    pub xfam: u64,
    /// MRCONFIGID: the configuration that is not in the measurement, as its owner identifies it.
    pub mrconfigid: [u8; 48],
    /// MROWNER: who owns the guest.
    pub mrowner: [u8; 48],
    /// MROWNERCONFIG: the owner's own configuration.
    pub mrownerconfig: [u8; 48],
    /// The CPUID values that can be chosen, and 0x80000008 with the width of guest-physical addresses: see
    /// [`CpuidTable::masked_by`] and [`CpuidTable::with_guest_physical_bits`].
    pub cpuid: CpuidTable,
}

impl Vm {
    /// What a TD can have here (`KVM_TDX_CAPABILITIES`).
    ///
    /// # Errors
    ///
    /// * `E2BIG` if the module has more than 256 CPUID leaves to say; KVM does not say how many.
    /// * [`KvmError::WroteBack`] if the kernel says that it wrote more.
    /// * `ENOTTY` where KVM has no TDX; `EIO` outside the creating process.
    pub fn tdx_capabilities(&self) -> Result<TdxCapabilities, KvmError> {
        let mut data = Capabilities {
            supported_attrs: 0,
            supported_xfam: 0,
            tdvmcallinfo: [0; 4],
            reserved: [0; 250],
            cpuid: Cpuid2 {
                nent: MAX_NENT,
                padding: 0,
                entries: [kvm_cpuid_entry2::default(); _],
            },
        };
        let address = ptr::from_mut(&mut data).expose_provenance() as u64;
        // SAFETY: the kernel writes `data`, the structure of this command, live and unaliased for the call: as many entries as `nent` says
        // at most, which is how many the array has.
        unsafe { encrypt::tdx(self.fd(), CAPABILITIES, 0, address) }?;
        let entries = data.cpuid.counted().ok_or(KvmError::WroteBack {
            op: CAPABILITIES.op,
            field: "nent",
            value: data.cpuid.nent.into(),
            cause: None,
        })?;
        Ok(TdxCapabilities {
            supported_attributes: data.supported_attrs,
            supported_xfam: data.supported_xfam,
            cpuid: configurable(entries),
        })
    }

    /// Makes the VM a TD (`KVM_TDX_INIT_VM`): before any vCPU, and once. Takes one of the host's private key ids for the life of the VM.
    ///
    /// # Errors
    ///
    /// * `EINVAL` the second time; for attributes or features that [`tdx_capabilities`](Self::tdx_capabilities) lacks; for a CPUID leaf that
    ///   cannot be chosen; and unless 0x80000008 says 48 or 52 bits of guest-physical address.
    /// * `E2BIG` above 256 CPUID entries. The kernel is not asked.
    /// * `ENOSPC` without a free key id.
    /// * [`KvmError::TdxModule`] if the module refuses.
    /// * `ENOTTY` where KVM has no TDX; `EIO` outside the creating process.
    pub fn tdx_init_vm(&self, init: &TdxInit) -> Result<(), KvmError> {
        let mut data = InitVm {
            attributes: init.attributes,
            xfam: init.xfam,
            mrconfigid: init.mrconfigid,
            mrowner: init.mrowner,
            mrownerconfig: init.mrownerconfig,
            reserved: [0; 12],
            cpuid: Cpuid2::new(init.cpuid.as_abi())
                .ok_or(KvmError::from_errno(INIT_VM.op, libc::E2BIG))?,
        };
        let address = ptr::from_mut(&mut data).expose_provenance() as u64;
        // SAFETY: the kernel reads `data`, the structure of this command, live for the call, with as many entries as `nent` says: no more
        // than the array has, by `Cpuid2::new`.
        unsafe { encrypt::tdx(self.fd(), INIT_VM, 0, address) }
    }

    /// Ends the launch (`KVM_TDX_FINALIZE_VM`): the module seals the measurement, and vCPUs can run.
    ///
    /// # Errors
    ///
    /// * [`KvmError::TdxModule`] with `EBUSY` if the module was busy. It can be asked again.
    /// * `EINVAL` before [`tdx_init_vm`](Self::tdx_init_vm), and the second time; up to Linux 6.18 also if a page failed half way.
    /// * [`KvmError::TdxModule`] with `EIO` if the module refuses. The VM is then dead.
    /// * `ENOTTY` where KVM has no TDX; `EIO` outside the creating process.
    pub fn tdx_finalize_vm(&self) -> Result<(), KvmError> {
        // SAFETY: this command takes no data and touches none.
        unsafe { encrypt::tdx(self.fd(), FINALIZE_VM, 0, 0) }
    }
}

/// The leaves of `KVM_TDX_CAPABILITIES`, each with its index.
///
/// KVM fills in no flags, so it does not say of any index whether it matters (`td_init_cpuid_entry2()`, `arch/x86/kvm/vmx/tdx.c`, Linux 6.16).
/// Taken as it comes, leaf 7.1 would be one without an index, and answer for 7.0. That every index counts is right for both kinds of leaf:
/// the module's mark for none is made 0 there, and the leaves of `KVM_TDX_INIT_VM` are looked up by function and index
/// (`setup_tdparams_cpuids()`).
fn configurable(entries: &[kvm_cpuid_entry2]) -> CpuidTable {
    let indexed: Vec<_> = entries
        .iter()
        .map(|entry| kvm_cpuid_entry2 {
            flags: KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
            padding: [0; 3],
            ..*entry
        })
        .collect();
    CpuidTable::from_abi(&indexed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_that_can_be_chosen_keeps_its_index() {
        let entry = |function, index, eax| kvm_cpuid_entry2 {
            function,
            index,
            eax,
            padding: [7; 3],
            ..Default::default()
        };
        let table = configurable(&[
            entry(7, 0, 0xa),
            entry(7, 1, 0xb),
            entry(0x8000_0008, 0, 0xc),
        ]);
        let leaves: Vec<_> = table
            .entries()
            .map(|entry| (entry.function, entry.index, entry.leaf.eax))
            .collect();
        assert_eq!(
            leaves,
            [
                (7, Some(0), 0xa),
                (7, Some(1), 0xb),
                (0x8000_0008, Some(0), 0xc)
            ]
        );
        assert!(table.as_abi().iter().all(|entry| entry.padding == [0; 3]));
        // What KVM supports has no index for the last: it is found all the same.
        let supported = CpuidTable::from_abi(&[
            kvm_cpuid_entry2 {
                flags: KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
                ..entry(7, 1, 0xff)
            },
            entry(0x8000_0008, 0, 0xff),
        ]);
        let chosen = supported.masked_by(&table);
        assert_eq!(chosen.leaf(7, 0), None);
        assert_eq!(chosen.leaf(7, 1).map(|leaf| leaf.eax), Some(0xb));
        assert_eq!(chosen.leaf(0x8000_0008, 0).map(|leaf| leaf.eax), Some(0xc));
    }
}
