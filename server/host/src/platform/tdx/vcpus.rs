//! The vCPUs of a TD, made when its first page comes: pages go in through one of them.
//!
//! **Invariant:** each is made once and initialised once; how it begins does not change after that.

use stagepages_kvm::{CpuidTable, KvmError, Vcpu, Vm};

use crate::{
    launch::{Reason, Refusal},
    vcpu::VcpuState,
};

/// All of them: not made, partly, or ready.
#[derive(Debug)]
pub(super) struct Vcpus {
    /// What each sees of the processor, but for its APIC id.
    cpuid: CpuidTable,
    /// vCPU 0, which every TD has, and through which pages go in.
    first: Slot,
    others: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    index: u32,
    /// What the guest finds in RCX.
    rcx: u64,
    /// Kept as long as the VM: one that was dropped cannot be made again.
    vcpu: Option<Vcpu>,
    initialised: bool,
}

impl Vcpus {
    /// `count` vCPUs, at least one, that begin with zero in RCX. `cpuid` has x2APIC, which the TDX module wants.
    pub(super) fn new(count: u32, cpuid: CpuidTable) -> Self {
        Self {
            cpuid,
            first: Slot::new(0),
            others: (1..count).map(Slot::new).collect(),
        }
    }

    /// Sets how a vCPU begins.
    ///
    /// # Errors
    /// `WrongState` once the vCPUs are made.
    pub(super) fn set(&mut self, index: u32, state: &VcpuState) -> Result<(), Refusal> {
        if self.first.vcpu.is_some() {
            let text = format!(
                "cannot set how vCPU {index} begins: on platform tdx the vCPUs are made with the first page, and pages were submitted; set it before, in a new launch"
            );
            return Err(Refusal::new(Reason::WrongState, text));
        }
        let slots = std::iter::once(&mut self.first).chain(&mut self.others);
        for slot in slots.filter(|slot| slot.index == index) {
            slot.rcx = state.rcx();
        }
        Ok(())
    }

    /// Makes those that are not ready, in the order of their indices, and lends the first. After an error it goes on where it stopped.
    ///
    /// # Errors
    /// What the kernel said.
    pub(super) fn ready(&mut self, vm: &Vm) -> Result<&Vcpu, KvmError> {
        let first = self.first.ready(vm, &self.cpuid)?;
        for other in &mut self.others {
            other.ready(vm, &self.cpuid)?;
        }
        Ok(first)
    }
}

impl Slot {
    fn new(index: u32) -> Self {
        Self {
            index,
            rcx: 0,
            vcpu: None,
            initialised: false,
        }
    }

    fn ready(&mut self, vm: &Vm, cpuid: &CpuidTable) -> Result<&Vcpu, KvmError> {
        let vcpu = match &mut self.vcpu {
            Some(vcpu) => vcpu,
            none => none.insert(vm.create_vcpu(self.index)?),
        };
        if !self.initialised {
            vcpu.set_cpuid(&cpuid.for_vcpu(self.index))?;
            vcpu.tdx_init(self.rcx)?;
            self.initialised = true;
        }
        Ok(vcpu)
    }
}

impl VcpuState {
    /// What the guest finds in RCX; zero but for the one state that says so.
    fn rcx(&self) -> u64 {
        match self {
            Self::Tdx { rcx } => *rcx,
            // The last three are no states of a TD's vCPU, and were refused before.
            Self::Reset | Self::RealMode(_) | Self::LongMode(_) | Self::Registers(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use stagepages_kvm::{Kvm, VmType};

    use super::*;

    fn rcx(vcpus: &Vcpus) -> Vec<u64> {
        std::iter::once(&vcpus.first)
            .chain(&vcpus.others)
            .map(|slot| slot.rcx)
            .collect()
    }

    #[test]
    fn the_last_state_of_each_counts() {
        let mut vcpus = Vcpus::new(3, CpuidTable::from_iter([]));
        for (index, rcx) in [(2, 7), (0, 8), (2, 9)] {
            vcpus.set(index, &VcpuState::Tdx { rcx }).unwrap();
        }
        assert_eq!(rcx(&vcpus), [8, 0, 9]);
        vcpus.set(2, &VcpuState::Reset).unwrap();
        assert_eq!(rcx(&vcpus), [8, 0, 0]);
    }

    #[test]
    fn vcpus_are_made_once_and_begin_as_they_were_told_before() {
        let kvm = match Kvm::open() {
            Ok(kvm) => kvm,
            Err(error) => {
                // Not a print macro: the test harness would swallow the line.
                let mut stderr = std::io::stderr().lock();
                writeln!(stderr, "vCPUs of a TD: not run, missing here: {error}").unwrap();
                return;
            }
        };
        // A plain VM has vCPUs, and none that can be one of a TD: it gets as far as initialising the first.
        let vm = kvm.create_vm(VmType::Default).unwrap();
        let mut vcpus = Vcpus::new(2, kvm.supported_cpuid().unwrap().with_x2apic());
        vcpus.set(1, &VcpuState::Tdx { rcx: 7 }).unwrap();
        assert_eq!(vcpus.ready(&vm).unwrap_err().op(), "KVM_TDX_INIT_VCPU");
        let refusal = vcpus.set(1, &VcpuState::Tdx { rcx: 1 }).unwrap_err();
        assert_eq!(refusal.reason, Reason::WrongState);
        assert!(refusal.message.contains("first page"), "{refusal:?}");
        assert_eq!(rcx(&vcpus), [0, 7]);
        // The vCPU that is there is not made again, which would be EEXIST.
        assert_eq!(vcpus.ready(&vm).unwrap_err().op(), "KVM_TDX_INIT_VCPU");
    }
}
