//! A TD's vCPUs: what stands against creating one, and `KVM_TDX_INIT_VCPU`.
//!
//! **Invariant:** the module knows a vCPU only from `KVM_TDX_INIT_VCPU` on, and learns of it once.

use super::{Command, State, Tdx};
use crate::cx::Cx;
use crate::vm::Common;
use crate::{Answer, Effect, Errno};

const FEATURES: u32 = 1;
const X2APIC: u32 = 1 << 21;

/// `tdx_vcpu_create()`, `arch/x86/kvm/vmx/tdx.c`: the TD has its key id, and its interrupt controller is split.
pub(crate) fn may_create_vcpu(_cx: &mut Cx<'_>, vm: &Common, td: &Tdx) -> Answer<()> {
    if td.state != State::Initialised {
        return Err(Errno::EIO);
    }
    if !vm.split_irqchip {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// `tdx_vcpu_init()`, `arch/x86/kvm/vmx/tdx.c`. The command's data is the vCPU's first RCX.
pub(super) fn init_vcpu(
    cx: &mut Cx<'_>,
    vm: &Common,
    td: &mut Tdx,
    index: u32,
    command: Command,
) -> Answer<()> {
    cx.note.detail = Some(format!("rcx={:#x}", command.data));
    if td.vcpus.contains(&index) {
        return Err(Errno::EINVAL);
    }
    let vcpu = vm.vcpus.get(&index).ok_or(Errno::EIO)?;
    let features = vcpu.cpuid_leaf(FEATURES, 0);
    if features.is_none_or(|leaf| leaf.ecx & X2APIC == 0) {
        return Err(Errno::EINVAL);
    }
    if let Some(Effect::Module { .. }) = command.effect {
        return Err(Errno::EIO);
    }
    td.vcpus.insert(index);
    Ok(())
}
