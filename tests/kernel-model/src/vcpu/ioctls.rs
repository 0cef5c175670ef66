//! The ioctls that read and set a vCPU's state.
//!
//! **Invariant:** once the state is protected, none of them shows or changes it.

use super::{Vcpu, read_table, write_table};
use crate::cx::Cx;
use crate::{Answer, Call, Errno};

/// An MSR list is at most this long (`MAX_IO_MSRS`, `arch/x86/kvm/x86.c`).
const MAX_MSRS: u32 = 256;

/// A vCPU's ioctl that is the same for every type of VM. `hidden` says that the registers are out of reach.
pub(crate) fn ioctl(cx: &mut Cx<'_>, vcpu: &mut Vcpu, hidden: bool, arg: u64) -> Answer {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is no vCPU's ioctl here is one violation, whatever else it is"
    )]
    match cx.call {
        Call::GetRegs | Call::SetRegs | Call::GetSregs | Call::SetSregs if hidden => {
            Err(Errno::EINVAL)
        }
        Call::GetRegs => cx.world.write(arg, &vcpu.regs).map(|()| 0),
        Call::SetRegs => cx.world.read(arg, &mut vcpu.regs).map(|()| 0),
        Call::GetSregs => cx.world.write(arg, &vcpu.sregs).map(|()| 0),
        Call::SetSregs => {
            cx.world.read(arg, &mut vcpu.sregs)?;
            vcpu.segments_set = true;
            Ok(0)
        }
        Call::SetCpuid2 => {
            vcpu.cpuid = read_table(cx.world, arg)?;
            Ok(0)
        }
        Call::GetCpuid2 => write_table(cx.world, arg, &vcpu.cpuid).map(|()| 0),
        Call::GetMsrs => msrs(cx, arg, |cx, addr, number| {
            let value = vcpu.msrs.get(&number).copied().unwrap_or(0);
            cx.world.write(addr, &value.to_le_bytes())
        }),
        Call::SetMsrs => msrs(cx, arg, |cx, addr, number| {
            let value = u64::from_le_bytes(cx.read(addr)?);
            vcpu.msrs.insert(number, value);
            Ok(())
        }),
        Call::GetMpState => cx
            .world
            .write(arg, &vcpu.mp_state.to_le_bytes())
            .map(|()| 0),
        Call::SetMpState => {
            vcpu.mp_state = u32::from_le_bytes(cx.read(arg)?);
            Ok(0)
        }
        // How a guest that runs is kicked out. Nothing runs here.
        Call::SetSignalMask => Ok(0),
        Call::Run => {
            cx.violation("the model runs no guest");
            Err(Errno::EIO)
        }
        call => {
            cx.violation(&format!("{} is no ioctl of a vCPU", call.name()));
            Err(Errno::ENOTTY)
        }
    }
}

/// Visits `struct kvm_msrs` {nmsrs u32, pad u32, {index u32, reserved u32, data u64}…} and answers how many.
fn msrs(
    cx: &mut Cx<'_>,
    arg: u64,
    mut visit: impl FnMut(&mut Cx<'_>, u64, u32) -> Answer<()>,
) -> Answer {
    let count = u32::from_le_bytes(cx.read(arg)?);
    if count >= MAX_MSRS {
        return Err(Errno::E2BIG);
    }
    for at in 0..u64::from(count) {
        let entry = arg + 8 + at * 16;
        let number = u32::from_le_bytes(cx.read(entry)?);
        visit(cx, entry + 8, number)?;
    }
    i32::try_from(count).or(Err(Errno::E2BIG))
}
