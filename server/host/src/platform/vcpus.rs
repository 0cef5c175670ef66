//! The vCPUs of a VM, from their states.

use stagepages_kvm::{CpuidTable, KvmError, SystemRegisters, Vcpu, Vm};

use crate::vcpu::VcpuState;

/// A vCPU that has its registers.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) vcpu: Vcpu,
    /// It runs from the start, and does not wait for another to start it.
    pub(super) runs: bool,
}

/// Makes a vCPU for each state.
///
/// # Errors
/// What the kernel said.
pub(super) fn prepare(
    vm: &Vm,
    cpuid: &CpuidTable,
    states: &[VcpuState],
) -> Result<Vec<Prepared>, KvmError> {
    (0..)
        .zip(states)
        .map(|(index, state)| {
            let vcpu = vm.create_vcpu(index)?;
            vcpu.set_cpuid(&cpuid.for_vcpu(index))?;
            set(&vcpu, state)?;
            let runs = index == 0 || *state != VcpuState::Reset;
            Ok(Prepared { vcpu, runs })
        })
        .collect()
}

/// Gives a new vCPU, which is as the architecture resets it, its state.
pub(super) fn set(vcpu: &Vcpu, state: &VcpuState) -> Result<(), KvmError> {
    let Some(registers) = state.registers() else {
        return Ok(());
    };
    // Of the rest, the local APIC's base among it, nobody may have another opinion.
    let reset = vcpu.system_registers()?;
    vcpu.set_system_registers(&SystemRegisters {
        cs: registers.cs,
        ds: registers.ds,
        es: registers.es,
        fs: registers.fs,
        gs: registers.gs,
        ss: registers.ss,
        tr: registers.tr,
        ldt: registers.ldtr,
        gdt: registers.gdtr,
        idt: registers.idtr,
        cr0: registers.cr0,
        cr2: registers.cr2,
        cr3: registers.cr3,
        cr4: registers.cr4,
        efer: registers.efer,
        ..reset
    })?;
    vcpu.set_general_registers(&registers.general)?;
    vcpu.set_pat(registers.pat)
}
