//! The ioctls of a VM and of its vCPUs, by type.
//!
//! **Invariant:** an ioctl that is not here is a violation: no program of this project has a use for it.

use super::{Arch, Vm};
use crate::cx::{Cx, errno_of};
use crate::memory;
use crate::system;
use crate::vcpu::{self, Vcpu};
use crate::wire::Fields;
use crate::world::{FileId, Kind};
use crate::{Answer, Call, Effect, Errno, snp, tdx};

const KVM_CAP_SPLIT_IRQCHIP: u32 = 121;
/// `MAX_NR_RESERVED_IOAPIC_PINS`.
const MAX_RESERVED_PINS: u64 = 4096;

/// A descriptor that a VM's ioctl made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// A guest_memfd with these flags.
    GuestMemfd(FileId, u64),
    /// A vCPU with this index.
    Vcpu(FileId, u32),
}

/// `kvm_vm_ioctl()`, `virt/kvm/kvm_main.c`.
pub(crate) fn ioctl(cx: &mut Cx<'_>, vm: &mut Vm, arg: u64) -> (Answer, Option<Made>) {
    let mut made = None;
    let answer = alive(cx, vm).and_then(|()| dispatch(cx, vm, arg, &mut made));
    (answer, made)
}

/// `kvm_vcpu_ioctl()`, `virt/kvm/kvm_main.c`.
pub(crate) fn vcpu_ioctl(cx: &mut Cx<'_>, vm: &mut Vm, index: u32, arg: u64) -> Answer {
    alive(cx, vm)?;
    if cx.call == Call::MemoryEncryptOp || cx.call.is_tdx() {
        return match &mut vm.arch {
            Arch::Tdx(td) => tdx::vcpu_command(cx, &mut vm.common, td, index, arg),
            Arch::Plain | Arch::Snp(_) => Err(Errno::ENOTTY),
        };
    }
    strike(cx, vm)?;
    let is_td = matches!(vm.arch, Arch::Tdx(_));
    let vcpu = vm.common.vcpus.get_mut(&index).ok_or(Errno::EIO)?;
    let hidden = is_td || vcpu.protected;
    vcpu::ioctl(cx, vcpu, hidden, arg)
}

fn alive(cx: &Cx<'_>, vm: &Vm) -> Answer<()> {
    if vm.pid == cx.world.pid() && !vm.common.dead {
        Ok(())
    } else {
        Err(Errno::EIO)
    }
}

/// What the script does to the call as a whole.
fn strike(cx: &mut Cx<'_>, vm: &mut Vm) -> Answer<()> {
    match cx.strike_call() {
        Some(Effect::Dead) => {
            vm.common.dead = true;
            Err(Errno::EIO)
        }
        Some(effect) => errno_of(effect).map_or(Ok(()), Err),
        None => Ok(()),
    }
}

fn dispatch(cx: &mut Cx<'_>, vm: &mut Vm, arg: u64, made: &mut Option<Made>) -> Answer {
    if cx.call == Call::MemoryEncryptOp || cx.call.is_sev() || cx.call.is_tdx() {
        return match &mut vm.arch {
            Arch::Snp(guest) => snp::command(cx, &mut vm.common, guest, arg),
            Arch::Tdx(td) => tdx::vm_command(cx, &mut vm.common, td, arg),
            Arch::Plain => Err(Errno::ENOTTY),
        };
    }
    strike(cx, vm)?;
    let vm_type = vm.arch.vm_type();
    let common = &mut vm.common;
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is no VM's ioctl here is one violation, whatever else it is"
    )]
    match cx.call {
        Call::CheckExtension => Ok(system::vm_extension(cx, vm_type, arg)),
        Call::CreateGuestMemfd => {
            let (fd, file, flags) =
                memory::create_guest_memfd(cx, &mut common.memory, vm_type, arg)?;
            *made = Some(Made::GuestMemfd(file, flags));
            Ok(fd)
        }
        Call::SetUserMemoryRegion => memory::set_region(cx, &mut common.memory, arg, false),
        Call::SetUserMemoryRegion2 => memory::set_region(cx, &mut common.memory, arg, true),
        Call::SetMemoryAttributes => memory::set_attributes(cx, &mut common.memory, vm_type, arg),
        Call::CreateVcpu => {
            let (fd, file, index) = create_vcpu(cx, vm, arg)?;
            *made = Some(Made::Vcpu(file, index));
            Ok(fd)
        }
        Call::EnableCap => enable_cap(cx, vm, arg),
        Call::CreateIrqchip => match vm.arch {
            // A TD has the split one only (kernel.md section 13).
            Arch::Tdx(_) => {
                cx.violation("a TD has no interrupt controller in the kernel");
                Err(Errno::ENOTTY)
            }
            Arch::Plain | Arch::Snp(_) => Ok(0),
        },
        call => {
            cx.violation(&format!("{} is no ioctl of a VM", call.name()));
            Err(Errno::ENOTTY)
        }
    }
}

/// `kvm_vm_ioctl_create_vcpu()`, `virt/kvm/kvm_main.c`.
fn create_vcpu(cx: &mut Cx<'_>, vm: &mut Vm, arg: u64) -> Answer<(i32, FileId, u32)> {
    let index = u32::try_from(arg).or(Err(Errno::EINVAL))?;
    cx.note.vcpu = Some(index);
    if index >= cx.script.max_vcpus {
        return Err(Errno::EINVAL);
    }
    if let Arch::Tdx(td) = &vm.arch {
        tdx::may_create_vcpu(cx, &vm.common, td)?;
    }
    if vm.common.vcpus.contains_key(&index) {
        return Err(Errno::EEXIST);
    }
    let (fd, file) = cx.world.create(Kind::Vcpu, system::VCPU_MMAP_SIZE.into())?;
    vm.common.vcpus.insert(index, Vcpu::new(index));
    Ok((fd, file, index))
}

/// `KVM_ENABLE_CAP`: struct kvm_enable_cap {cap u32, flags u32, args u64[4], pad u8[64]}.
fn enable_cap(cx: &mut Cx<'_>, vm: &mut Vm, arg: u64) -> Answer {
    let args = Fields(cx.read::<104>(arg)?);
    let (cap, flags, pins) = (args.u32(0), args.u32(4), args.u64(8));
    cx.note.detail = Some(format!("cap={cap} arg0={pins}"));
    cx.require(
        args.is_zero(16, 88),
        "what kvm_enable_cap has beyond its first argument is not zero",
    );
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    if cap != KVM_CAP_SPLIT_IRQCHIP {
        cx.violation(&format!("capability {cap} is none that a launch enables"));
        return Err(Errno::EINVAL);
    }
    // kvm_vm_ioctl_enable_cap(), arch/x86/kvm/x86.c: once, and before any vCPU.
    if pins > MAX_RESERVED_PINS {
        return Err(Errno::EINVAL);
    }
    if vm.common.split_irqchip || !vm.common.vcpus.is_empty() {
        return Err(Errno::EEXIST);
    }
    vm.common.split_irqchip = true;
    Ok(0)
}
