//! A vCPU that may run, because the memory of its VM is out of everyone's reach.
//!
//! **Invariant:** while a value of this type exists, no reference to guest memory does, and the memory stays mapped.

use std::os::fd::AsRawFd;
use std::sync::Arc;

use kvm_bindings::KVM_EXIT_UNKNOWN;

use super::Vcpu;
use super::exit::Exit;
use crate::{Gpa, KvmError, RunningVm, abi};

/// A vCPU together with the VM that it runs in. Several, on as many threads, may share one.
#[derive(Debug)]
pub struct RunnableVcpu {
    // Declared first, so closed first: a vCPU that ran must not outlive the addresses that its VM knows.
    vcpu: Vcpu,
    vm: Arc<RunningVm>,
}

/// A vCPU was attached to a VM that is not its own. Nothing changed.
#[derive(Debug, thiserror::Error)]
#[error("the vCPU belongs to another VM; attach it to the one that created it")]
pub struct NotAttached(
    /// The vCPU.
    pub Vcpu,
);

impl Vcpu {
    /// Makes the vCPU one that can run.
    ///
    /// # Errors
    ///
    /// [`NotAttached`] if `vm` did not create it.
    pub fn attach(self, vm: &Arc<RunningVm>) -> Result<RunnableVcpu, NotAttached> {
        if !vm.is(&self.vm) {
            return Err(NotAttached(self));
        }
        Ok(RunnableVcpu {
            vcpu: self,
            vm: Arc::clone(vm),
        })
    }
}

impl RunnableVcpu {
    /// Runs the guest until something has to be done outside of it (`KVM_RUN`). What a [`Exit::PortIn`] or a read by [`Exit::Mmio`] left in
    /// its data is given to the guest first, also if the run is then interrupted at once.
    ///
    /// May take for ever: see [`kick`](crate::kick).
    ///
    /// # Errors
    ///
    /// `EFAULT` without [`Exit::MemoryFault`] where the kernel cannot say which memory failed; `ENOMEM`; `EIO` outside the creating process
    /// and once KVM has declared the VM dead.
    pub fn run(&mut self) -> Result<Exit<'_>, KvmError> {
        // An exit that comes with an errno must not be taken for the one before.
        self.vcpu.area.run().exit_reason = KVM_EXIT_UNKNOWN;
        // SAFETY: the kernel reads and writes the vCPU's shared area, to which `&mut self` is the only way, and, for the guest, the memory of
        // the memslots. That is mapped as long as `self.vm` lives, and no reference to it exists or can be made: see `RunningVm`.
        let ret = unsafe { libc::ioctl(self.vcpu.fd.as_raw_fd(), abi::KVM_RUN, 0) };
        let error = KvmError::last("KVM_RUN");
        let failure = if ret == 0 {
            0
        } else {
            error.errno().unwrap_or(libc::EIO)
        };
        Exit::decode(&mut self.vcpu.area, failure).ok_or(error)
    }

    /// Where a linear address is in guest-physical memory, by the vCPU's page tables as they are (`KVM_TRANSLATE`); `None` if they map
    /// nothing there. Whether a memslot is there is not asked.
    ///
    /// Like the processor, KVM marks the table entries on the way as accessed (`FNAME(walk_addr_generic)()`,
    /// `arch/x86/kvm/mmu/paging_tmpl.h`): it writes guest memory, so this is no method of [`Vcpu`].
    ///
    /// # Errors
    ///
    /// `EIO` outside the creating process.
    pub fn translate(&self, linear: u64) -> Result<Option<Gpa>, KvmError> {
        let found = self
            .vcpu
            .fd
            .translate_gva(linear)
            .map_err(|error| KvmError::ioctl("KVM_TRANSLATE", error))?;
        Ok((found.valid != 0).then(|| Gpa::new(found.physical_address)))
    }

    /// The vCPU, whose registers can be read and set between runs.
    pub fn vcpu(&self) -> &Vcpu {
        &self.vcpu
    }

    /// The VM that it runs in.
    pub fn vm(&self) -> &Arc<RunningVm> {
        &self.vm
    }
}
