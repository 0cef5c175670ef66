//! TDs: the commands of `KVM_MEMORY_ENCRYPT_OP` on a VM of type TDX and on its vCPUs.
//!
//! ```text
//!                 INIT_VM               FINALIZE_VM
//!  uninitialised ─────────▶ initialised ───────────▶ runnable
//!                             │     ▲
//!                             └─────┘ CREATE_VCPU, INIT_VCPU, INIT_MEM_REGION
//! ```
//!
//! **Invariant:** what the module answered is written back by commands of the VM, and never by those of a vCPU.

mod capabilities;
mod finalize;
mod init;
mod install;
mod module;
pub mod mrtd;
mod region;
mod vcpu;

use std::collections::BTreeSet;

pub(crate) use self::vcpu::may_create_vcpu;

use self::mrtd::Mrtd;
use crate::cx::{Cx, errno_of};
use crate::vcpu::CpuidEntry;
use crate::vm::Common;
use crate::wire::Fields;
use crate::{Answer, Call, Effect, Errno};

/// What a TD has beside what every VM has.
#[derive(Debug, Default)]
pub struct Tdx {
    /// How far it is built.
    pub state: State,
    /// Its CPUID, as `INIT_VM` gave it.
    pub cpuid: Vec<CpuidEntry>,
    /// The end of the private half of its guest physical addresses; from there on they are shared.
    pub private_end: u64,
    /// The vCPUs that the module knows.
    pub vcpus: BTreeSet<u32>,
    /// The pages that are mapped and could not be added (`nr_premapped`, until 6.18).
    pub premapped: u64,
    /// What was measured.
    pub mrtd: Mrtd,
}

/// How far a TD is built (`enum kvm_tdx_state`, `arch/x86/kvm/vmx/tdx.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// `INIT_VM` was not called: it has no key id.
    #[default]
    Uninitialised,
    /// Its memory and its vCPUs can be added.
    Initialised,
    /// `FINALIZE_VM` has closed the measurement.
    Runnable,
}

/// A command as it came.
#[derive(Clone, Copy, Debug)]
struct Command {
    call: Call,
    flags: u32,
    data: u64,
    /// What the script does to it as a whole.
    effect: Option<Effect>,
}

/// A command on the VM's descriptor (`tdx_vm_ioctl()`, `arch/x86/kvm/vmx/tdx.c`). `arg` is the address of `struct kvm_tdx_cmd`
/// {id u32@0, flags u32@4, data u64@8, hw_error u64@16}, which is written back whatever the command did.
pub(crate) fn vm_command(cx: &mut Cx<'_>, vm: &mut Common, td: &mut Tdx, arg: u64) -> Answer {
    let (mut args, command) = receive(cx, vm, arg)?;
    let mut hw_error = 0;
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is no command of a VM is one violation, whatever else it is"
    )]
    let answer = match command.call {
        Call::TdxCapabilities => capabilities::capabilities(cx, command),
        Call::TdxInitVm => init::init_vm(cx, td, command, &mut hw_error),
        Call::TdxFinalizeVm => finalize::finalize_vm(cx, vm, td, command, &mut hw_error),
        call => {
            cx.violation(&format!("{} is no command of a VM", call.name()));
            return Err(Errno::EINVAL);
        }
    };
    cx.note.error = Some(hw_error);
    args.put(16, &hw_error.to_le_bytes());
    let faults = command.effect == Some(Effect::CopyBackFault);
    if faults || cx.world.write(arg, &args.0).is_err() {
        return Err(Errno::EFAULT);
    }
    answer.map(|()| 0)
}

/// A command on a vCPU's descriptor (`tdx_vcpu_ioctl()`, `arch/x86/kvm/vmx/tdx.c`). `struct kvm_tdx_cmd` is never written back.
pub(crate) fn vcpu_command(
    cx: &mut Cx<'_>,
    vm: &mut Common,
    td: &mut Tdx,
    index: u32,
    arg: u64,
) -> Answer {
    let (_, command) = receive(cx, vm, arg)?;
    if td.state != State::Initialised {
        cx.require(
            td.state != State::Runnable,
            "a command of a vCPU after KVM_TDX_FINALIZE_VM",
        );
        return Err(Errno::EINVAL);
    }
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is no command of a vCPU is one violation, whatever else it is"
    )]
    let answer = match command.call {
        Call::TdxInitVcpu => vcpu::init_vcpu(cx, vm, td, index, command),
        Call::TdxInitMemRegion => region::init_mem_region(cx, vm, td, index, command),
        Call::TdxGetCpuid => capabilities::get_cpuid(cx, td, command),
        call => {
            cx.violation(&format!("{} is no command of a vCPU", call.name()));
            Err(Errno::EINVAL)
        }
    };
    answer.map(|()| 0)
}

/// What all commands have in common before they do anything.
fn receive(cx: &mut Cx<'_>, vm: &mut Common, arg: u64) -> Answer<(Fields<24>, Command)> {
    let effect = cx.strike_call();
    if let Some(errno) = effect.and_then(errno_of) {
        return Err(errno);
    }
    let args = Fields(cx.read::<24>(arg)?);
    let (id, flags) = (args.u32(0), args.u32(4));
    if !args.is_zero(16, 8) {
        cx.violation("`hw_error` is not zero before the call");
        return Err(Errno::EINVAL);
    }
    let Some(call) = Call::from_tdx_id(id) else {
        cx.violation(&format!("command {id} is none of a TD"));
        return Err(Errno::EINVAL);
    };
    let known = if call == Call::TdxInitMemRegion {
        region::MEASURE
    } else {
        0
    };
    if flags & !known != 0 {
        cx.violation(&format!("flags {flags:#x} of kvm_tdx_cmd"));
        return Err(Errno::EINVAL);
    }
    if effect == Some(Effect::VcpuCreationRace) {
        return Err(Errno::EBUSY);
    }
    if effect == Some(Effect::Dead) {
        vm.dead = true;
        return Err(Errno::EIO);
    }
    if !call.installs_pages() {
        cx.take_time(None);
    }
    let command = Command {
        call,
        flags,
        data: args.u64(8),
        effect,
    };
    Ok((args, command))
}
