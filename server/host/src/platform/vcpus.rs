//! The vCPUs of a VM, from their states.
//!
//! **Invariant:** each is made once.

use stagepages_digest::vmsa::{self, Registers};
use stagepages_kvm::{
    CpuidTable, DescriptorTable, GeneralRegisters, KvmError, Segment, SystemRegisters, Vcpu, Vm,
};

use super::{Stop, confidential::asks_again};
use crate::vcpu::VcpuState;

/// A vCPU that has its registers.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) vcpu: Vcpu,
    /// It runs from the start, and does not wait for another to start it.
    pub(super) runs: bool,
}

/// The vCPUs of a VM that get their registers when staging ends: none, some, or one for each state.
#[derive(Debug, Default)]
pub(super) struct Vcpus {
    prepared: Vec<Prepared>,
    /// Made, and not yet as it begins. Kept: an index that was made once cannot be made again, also if its vCPU was dropped.
    begun: Option<Vcpu>,
}

impl Vcpus {
    /// Makes those that are not there yet, in the order of their indices: one for each state, with what `registers` makes of it; `None` leaves them as they
    /// are made. After an error it goes on where it stopped; all calls are given the same states.
    ///
    /// # Errors
    /// What the kernel said. Nothing of a vCPU was measured.
    pub(super) fn prepare(
        &mut self,
        vm: &Vm,
        cpuid: &CpuidTable,
        states: &[VcpuState],
        registers: impl Fn(&VcpuState) -> Option<Registers>,
    ) -> Result<(), KvmError> {
        for (index, state) in (0..).zip(states).skip(self.prepared.len()) {
            let vcpu = match &mut self.begun {
                Some(vcpu) => vcpu,
                none => none.insert(vm.create_vcpu(index)?),
            };
            // Both may be set again as long as the vCPU did not run.
            vcpu.set_cpuid(&cpuid.for_vcpu(index))?;
            if let Some(registers) = registers(state) {
                set(vcpu, &registers)?;
            }
            let runs = index == 0 || *state != VcpuState::Reset;
            let vcpu = self.begun.take();
            self.prepared
                .extend(vcpu.map(|vcpu| Prepared { vcpu, runs }));
        }
        Ok(())
    }

    /// All that are as they begin.
    pub(super) fn into_prepared(self) -> Vec<Prepared> {
        self.prepared
    }
}

/// What it means that a vCPU could not be made or set up, at the end of staging. Another try costs nothing: nothing was measured.
pub(super) fn vcpu_stop(error: KvmError) -> Stop {
    if asks_again(&error) {
        Stop::Again(error)
    } else {
        error.into()
    }
}

/// Gives a new vCPU, which is as the architecture resets it, its registers.
pub(super) fn set(vcpu: &Vcpu, registers: &Registers) -> Result<(), KvmError> {
    // Of the rest, the local APIC's base among it, nobody may have another opinion.
    let reset = vcpu.system_registers()?;
    vcpu.set_system_registers(&SystemRegisters {
        cs: segment(&registers.cs),
        ds: segment(&registers.ds),
        es: segment(&registers.es),
        fs: segment(&registers.fs),
        gs: segment(&registers.gs),
        ss: segment(&registers.ss),
        tr: segment(&registers.tr),
        ldt: segment(&registers.ldtr),
        gdt: table(&registers.gdtr),
        idt: table(&registers.idtr),
        cr0: registers.cr0,
        cr2: registers.cr2,
        cr3: registers.cr3,
        cr4: registers.cr4,
        efer: registers.efer,
        ..reset
    })?;
    vcpu.set_general_registers(&general(&registers.general))?;
    vcpu.set_pat(registers.pat)
}

fn segment(given: &vmsa::Segment) -> Segment {
    Segment {
        selector: given.selector,
        attributes: given.attributes,
        limit: given.limit,
        base: given.base,
    }
}

fn table(given: &vmsa::Table) -> DescriptorTable {
    DescriptorTable {
        base: given.base,
        limit: given.limit,
    }
}

fn general(given: &vmsa::General) -> GeneralRegisters {
    GeneralRegisters {
        rax: given.rax,
        rbx: given.rbx,
        rcx: given.rcx,
        rdx: given.rdx,
        rsi: given.rsi,
        rdi: given.rdi,
        rsp: given.rsp,
        rbp: given.rbp,
        r8: given.r8,
        r9: given.r9,
        r10: given.r10,
        r11: given.r11,
        r12: given.r12,
        r13: given.r13,
        r14: given.r14,
        r15: given.r15,
        rip: given.rip,
        rflags: given.rflags,
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn what_the_kernel_would_be_asked_again_is_asked_again() {
        for (errno, again) in [
            (Errno::EINTR, true),
            (Errno::EAGAIN, true),
            (Errno::EBUSY, true),
            (Errno::EINVAL, false),
            (Errno::EEXIST, false),
        ] {
            let stop = vcpu_stop(KvmError::from_errno("KVM_CREATE_VCPU", errno as i32));
            assert_eq!(matches!(stop, Stop::Again(_)), again, "{errno}");
        }
    }
}
