//! `KVM_TDX_FINALIZE_VM` (`tdx_td_finalize()`, `arch/x86/kvm/vmx/tdx.c`).
//!
//! **Invariant:** but for a busy module, which can be asked again, a refusal by the module is the end of the VM.

use super::{Command, State, Tdx, module};
use crate::cx::Cx;
use crate::trace::What;
use crate::vm::Common;
use crate::wire::hex;
use crate::{Answer, Effect, Errno, strict};

/// Closes the measurement.
pub(super) fn finalize_vm(
    cx: &mut Cx<'_>,
    vm: &mut Common,
    td: &mut Tdx,
    command: Command,
    hw_error: &mut u64,
) -> Answer<()> {
    cx.require(
        td.state != State::Runnable,
        "KVM_TDX_FINALIZE_VM after one that succeeded",
    );
    strict::blocked_signals(cx);
    if td.state != State::Initialised {
        return Err(Errno::EINVAL);
    }
    // Counted until 6.18 only.
    if td.premapped != 0 {
        return Err(Errno::EINVAL);
    }
    if command.effect == Some(Effect::Busy) {
        *hw_error = module::OPERAND_BUSY;
        return Err(Errno::EBUSY);
    }
    if let Some(Effect::Module { status, .. }) = command.effect {
        *hw_error = status;
        vm.dead = true;
        return Err(Errno::EIO);
    }
    td.state = State::Runnable;
    cx.world.tell(What::Digest {
        vm: vm.id,
        digest: hex(&td.mrtd.value()),
    });
    Ok(())
}
