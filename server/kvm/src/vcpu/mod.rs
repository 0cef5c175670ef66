//! A virtual processor before it runs: its CPUID, its registers, the signal that may interrupt it.
//!
//! ```text
//!  Vm ──create_vcpu──▶ Vcpu ──────────▶ attach(self, &running) ──▶ RunnableVcpu ──run──▶ Exit
//!   └──into_running(self, memory)──▶ Arc<RunningVm> ──▲
//! ```
//!
//! No method here lets the guest run or makes KVM write guest memory; those that do are [`RunnableVcpu`]'s, beside which no borrow of
//! guest memory exists. A vCPU belongs to the process that made it, like its VM: elsewhere each call is `EIO` (`kvm_vcpu_ioctl()`,
//! `virt/kvm/kvm_main.c`, all kernels).
//!
//! **Invariant:** a [`Vcpu`] never runs.

mod area;
mod decode;
mod exit;
mod registers;
mod runnable;
mod segment;

use std::os::fd::AsRawFd;

use kvm_bindings::{Msrs, kvm_msr_entry};
use kvm_ioctls::{VcpuFd, VmFd};

pub use self::exit::Exit;
pub use self::registers::{GeneralRegisters, SystemRegisters};
pub use self::runnable::{NotAttached, RunnableVcpu};
pub use self::segment::{DescriptorTable, Segment};

use self::area::RunArea;
use crate::vm::VmId;
use crate::{CpuidTable, KvmError, abi, kick};

/// The MSR that holds the page attribute table.
const MSR_PAT: u32 = 0x277;

/// A vCPU that does not run yet.
#[derive(Debug)]
pub struct Vcpu {
    fd: VcpuFd,
    area: RunArea,
    vm: VmId,
}

impl Vcpu {
    pub(crate) fn create(vm: &VmFd, id: VmId, index: u32) -> Result<Self, KvmError> {
        let fd = vm
            .create_vcpu(index.into())
            .map_err(|error| KvmError::ioctl("KVM_CREATE_VCPU", error))?;
        let area = RunArea::map(&fd, vm.run_size())?;
        Ok(Self { fd, area, vm: id })
    }

    /// Says which processor the guest sees (`KVM_SET_CPUID2`). Set it first: the registers are checked against it.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the processor cannot be, or once the vCPU ran and the table differs; `E2BIG` above 256 entries.
    pub fn set_cpuid(&self, table: &CpuidTable) -> Result<(), KvmError> {
        const OP: &str = "KVM_SET_CPUID2";
        let table = table.to_abi(OP)?;
        self.fd
            .set_cpuid2(&table)
            .map_err(|error| KvmError::ioctl(OP, error))
    }

    /// The general registers (`KVM_GET_REGS`).
    ///
    /// # Errors
    ///
    /// `EIO` outside the creating process; `EINVAL` where the guest's state is protected.
    pub fn general_registers(&self) -> Result<GeneralRegisters, KvmError> {
        self.fd
            .get_regs()
            .map(GeneralRegisters::from_abi)
            .map_err(|error| KvmError::ioctl("KVM_GET_REGS", error))
    }

    /// Sets the general registers (`KVM_SET_REGS`). An exception that was pending is forgotten, and bit 1 of `rflags` is set whatever
    /// is asked for (`__set_regs()`, `arch/x86/kvm/x86.c`, Linux 6.18). Nothing else is checked.
    ///
    /// # Errors
    ///
    /// As [`general_registers`](Self::general_registers).
    pub fn set_general_registers(&self, registers: &GeneralRegisters) -> Result<(), KvmError> {
        self.fd
            .set_regs(&registers.to_abi())
            .map_err(|error| KvmError::ioctl("KVM_SET_REGS", error))
    }

    /// The segments, tables and control registers (`KVM_GET_SREGS`): at first those of a processor after reset.
    ///
    /// # Errors
    ///
    /// As [`general_registers`](Self::general_registers).
    pub fn system_registers(&self) -> Result<SystemRegisters, KvmError> {
        self.fd
            .get_sregs()
            .map(|registers| SystemRegisters::from_abi(&registers))
            .map_err(|error| KvmError::ioctl("KVM_GET_SREGS", error))
    }

    /// Sets the segments, tables and control registers, every one of them (`KVM_SET_SREGS`): read them first, and change what has to
    /// change.
    ///
    /// # Errors
    ///
    /// `EINVAL` if CR0, CR4 and EFER contradict each other or the CPUID table, or CR3 has bits beyond the physical addresses
    /// (`kvm_is_valid_sregs()`, `arch/x86/kvm/x86.c`, Linux 6.18). Segments are not checked: the processor refuses bad ones when the
    /// vCPU runs ([`Exit::FailEntry`] or [`Exit::InternalError`]). Otherwise as [`general_registers`](Self::general_registers).
    pub fn set_system_registers(&self, registers: &SystemRegisters) -> Result<(), KvmError> {
        self.fd
            .set_sregs(&registers.to_abi())
            .map_err(|error| KvmError::ioctl("KVM_SET_SREGS", error))
    }

    /// Sets the page attribute table (`KVM_SET_MSRS` of MSR 0x277): eight memory types, a byte each.
    ///
    /// # Errors
    ///
    /// [`KvmError::MsrRefused`] where the kernel knows that a byte is no memory type, that is none of 0, 1, 4, 5, 6 and 7
    /// (`kvm_pat_valid()`, `arch/x86/kvm/x86.h`). A KVM that runs guests in software was seen to take any value.
    pub fn set_pat(&self, value: u64) -> Result<(), KvmError> {
        self.set_msr(MSR_PAT, value)
    }

    /// Sets one MSR. That it was not set is said by the count only.
    pub(crate) fn set_msr(&self, index: u32, value: u64) -> Result<(), KvmError> {
        const OP: &str = "KVM_SET_MSRS";
        let entry = kvm_msr_entry {
            index,
            data: value,
            ..Default::default()
        };
        // One entry is within every bound; what can be short is memory.
        let msrs = Msrs::from_entries(&[entry]).or(Err(KvmError::from_errno(OP, libc::ENOMEM)))?;
        let set = self
            .fd
            .set_msrs(&msrs)
            .map_err(|error| KvmError::ioctl(OP, error))?;
        if set == 1 {
            Ok(())
        } else {
            Err(KvmError::MsrRefused { index, value })
        }
    }

    /// Makes [`kick::SIGNAL`], and no other, interrupt the guest (`KVM_SET_SIGNAL_MASK`). See [`kick`].
    ///
    /// # Errors
    ///
    /// `EIO` outside the creating process.
    pub fn unblock_in_run(&self) -> Result<(), KvmError> {
        let mask = abi::SignalMask {
            len: 8,
            sigset: kick::mask_in_run().to_ne_bytes(),
        };
        // SAFETY: the kernel reads `mask`: its first four bytes, and then the eight that `len` says. It is live for the call.
        let ret = unsafe {
            libc::ioctl(
                self.fd.as_raw_fd(),
                abi::KVM_SET_SIGNAL_MASK,
                &raw const mask,
            )
        };
        if ret == 0 {
            Ok(())
        } else {
            Err(KvmError::last("KVM_SET_SIGNAL_MASK"))
        }
    }

    /// The descriptor.
    pub(crate) fn fd(&self) -> &VcpuFd {
        &self.fd
    }

    /// The descriptor's number, for tests of what another process may do with it.
    #[cfg(test)]
    pub(crate) fn fd_number(&self) -> libc::c_int {
        self.fd.as_raw_fd()
    }
}
