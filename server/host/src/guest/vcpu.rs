//! One vCPU, on a thread of its own: run, serve the exit, run on.

use std::sync::atomic::{AtomicBool, Ordering};

use stagepages_kvm::{Exit, Gfn, GfnRange, Gpa, KvmError, PAGE_SIZE, RunnableVcpu, kick};

use super::{
    GuestStop,
    devices::Devices,
    ending::{EMULATION, Ending},
};
use crate::platform::Memory;

/// What the vCPUs of a guest share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) devices: Devices,
    pub(super) memory: Memory<()>,
    /// All of them are to leave the guest. Set before they are kicked.
    pub(super) leave: AtomicBool,
}

/// Why a vCPU runs no more.
#[derive(Debug)]
pub(super) enum Left {
    /// It halted, and nothing can wake it.
    Halted,
    /// It was asked to leave.
    Asked,
    /// It ended the guest.
    Ended(GuestStop),
}

/// What the loop does after an exit.
enum Turn {
    Again,
    Left(Left),
    Ended(Ending),
    /// KVM could not carry out the instruction; or there is none.
    Emulation(Ending),
}

/// Runs the vCPU until it has halted, something ended the guest, or it is asked to leave.
pub(super) fn run(index: u32, vcpu: &mut RunnableVcpu, shared: &Shared) -> Left {
    if let Err(error) = kick::block().and_then(|()| vcpu.vcpu().unblock_in_run()) {
        return Left::Ended(Ending::internal(error.to_string()).stop(index, None));
    }
    loop {
        let ending = match turn(vcpu, shared) {
            Turn::Again => continue,
            Turn::Left(left) => return left,
            Turn::Ended(ending) => ending,
            Turn::Emulation(ending) => {
                fetched_outside(vcpu, &shared.memory).map_or(ending, |gpa| {
                    let what = format!("no instruction at GPA {gpa}, which is in no memory region");
                    Ending::memory(Some(gpa), what)
                })
            }
        };
        let rip = vcpu.vcpu().general_registers().ok().map(|found| found.rip);
        return Left::Ended(ending.stop(index, rip));
    }
}

fn turn(vcpu: &mut RunnableVcpu, shared: &Shared) -> Turn {
    if shared.leave.load(Ordering::Acquire) {
        return Turn::Left(Left::Asked);
    }
    let exit = match vcpu.run() {
        Ok(exit) => exit,
        Err(error) => return Turn::Ended(Ending::failed(&error)),
    };
    let ending = Ending::of(&exit);
    match (exit, ending) {
        (
            Exit::InternalError {
                suberror: EMULATION,
                ..
            },
            Some(ending),
        ) => Turn::Emulation(ending),
        (_, Some(ending)) => Turn::Ended(ending),
        (Exit::PortOut { port, size, data }, None) => shared
            .devices
            .write(port, size, data)
            .map_or(Turn::Again, Turn::Ended),
        (Exit::PortIn { port, size, data }, None) => {
            shared.devices.read(port, size, data);
            Turn::Again
        }
        (Exit::Halt, None) => Turn::Left(Left::Halted),
        // A kick, or work that the kernel had for the thread; the flag says what is meant.
        (_, None) => {
            kick::take();
            Turn::Again
        }
    }
}

/// Where the next instruction is, if that is in no memory of the guest.
fn fetched_outside(vcpu: &RunnableVcpu, memory: &Memory<()>) -> Option<Gpa> {
    let next = || -> Result<Option<Gpa>, KvmError> {
        let base = vcpu.vcpu().system_registers()?.cs.base;
        let rip = vcpu.vcpu().general_registers()?.rip;
        vcpu.translate(base.wrapping_add(rip))
    };
    let gpa = next().ok().flatten()?;
    let page = Gfn::new(gpa.get() / PAGE_SIZE).and_then(|gfn| GfnRange::new(gfn, 1).ok());
    let inside = page.is_some_and(|page| memory.locate(page).is_ok());
    (!inside).then_some(gpa)
}
