//! TDs: the commands of `KVM_MEMORY_ENCRYPT_OP` on a VM of type TDX and on its vCPUs.
//!
//! **Invariant:** nothing here knows another type of VM.

use crate::cx::Cx;
use crate::vm::Common;
use crate::{Answer, Errno};

/// What a TD has beside what every VM has.
#[derive(Debug, Default)]
pub struct Tdx {}

/// A command on the VM's descriptor. `arg` is the address of `struct kvm_tdx_cmd`.
pub(crate) fn vm_command(_cx: &mut Cx<'_>, _vm: &mut Common, _td: &mut Tdx, _arg: u64) -> Answer {
    Err(Errno::ENOTTY)
}

/// A command on a vCPU's descriptor.
pub(crate) fn vcpu_command(
    _cx: &mut Cx<'_>,
    _vm: &mut Common,
    _td: &mut Tdx,
    _index: u32,
    _arg: u64,
) -> Answer {
    Err(Errno::ENOTTY)
}

/// What a TD has against one more vCPU.
pub(crate) fn may_create_vcpu(_cx: &mut Cx<'_>, _vm: &Common, _td: &Tdx) -> Answer<()> {
    Ok(())
}
