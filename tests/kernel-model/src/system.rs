//! The ioctls of `/dev/kvm`, and what the modelled machine can do.
//!
//! **Invariant:** what is asked of the device and of a VM agrees, but where the answer depends on the VM's type.

use crate::cx::{Cx, errno_of};
use crate::memory;
use crate::vcpu;
use crate::vm::{self, VmType};
use crate::wire::Fields;
use crate::{Answer, Call, Errno};

/// The bytes of the area that a vCPU shares with its process.
pub(crate) const VCPU_MMAP_SIZE: u16 = 12_288;

const GROUP_SEV: u32 = 1;
const VMSA_FEATURES: u64 = 0;
const SNP_POLICY_BITS: u64 = 1;

/// An ioctl of `/dev/kvm` other than `KVM_CREATE_VM`.
pub(crate) fn ioctl(cx: &mut Cx<'_>, arg: u64) -> Answer {
    if let Some(errno) = cx.strike_call().and_then(errno_of) {
        return Err(errno);
    }
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is no ioctl of the device here is one violation, whatever else it is"
    )]
    match cx.call {
        Call::GetApiVersion => Ok(12),
        Call::CheckExtension => Ok(extension(cx, None, arg)),
        Call::GetVcpuMmapSize => Ok(VCPU_MMAP_SIZE.into()),
        Call::GetSupportedCpuid => {
            vcpu::write_table(cx.world, arg, &vcpu::supported(cx.script.snp)).map(|()| 0)
        }
        Call::HasDeviceAttr => device_attr(cx, arg).map(|_| 0),
        Call::GetDeviceAttr => {
            let (value, addr) = device_attr(cx, arg)?;
            cx.world.write(addr, &value.to_le_bytes()).map(|()| 0)
        }
        call => {
            cx.violation(&format!("{} is no ioctl of /dev/kvm", call.name()));
            Err(Errno::ENOTTY)
        }
    }
}

/// `KVM_CHECK_EXTENSION` of a VM.
pub(crate) fn vm_extension(cx: &mut Cx<'_>, vm_type: VmType, cap: u64) -> i32 {
    extension(cx, Some(vm_type), cap)
}

/// `kvm_vm_ioctl_check_extension()`, `arch/x86/kvm/x86.c`, and its generic part in `virt/kvm/kvm_main.c`.
fn extension(cx: &mut Cx<'_>, vm_type: Option<VmType>, cap: u64) -> i32 {
    cx.note.detail = Some(format!("cap={cap}"));
    let confidential = || vm::types(cx).any(|vm_type| vm_type != VmType::Plain);
    let value = match cap {
        9 | 66 => u64::from(cx.script.max_vcpus), // NR_VCPUS, MAX_VCPUS
        10 => 0x7fff,                             // NR_MEMSLOTS
        // IRQCHIP, USER_MEMORY, IMMEDIATE_EXIT, SPLIT_IRQCHIP, USER_MEMORY2
        0 | 3 | 136 | 121 | 231 => 1,
        234 => vm_type
            .is_none_or(|vm_type| memory::has_guest_memfd(cx, vm_type))
            .into(),
        233 => match vm_type {
            Some(vm_type) => memory::supported_attributes(vm_type),
            None if confidential() => memory::supported_attributes(VmType::Snp),
            None => 0,
        },
        235 => vm::types(cx).fold(0, |bits, vm_type| bits | 1 << vm_type.number()),
        236 => confidential().into(), // PRE_FAULT_MEMORY
        244 => memory::guest_memfd_flags(cx, vm_type.unwrap_or(VmType::Plain)),
        _ => 0,
    };
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// A device attribute's value, and the address that it goes to: struct kvm_device_attr {flags u32, group u32, attr u64, addr u64}.
fn device_attr(cx: &mut Cx<'_>, arg: u64) -> Answer<(u64, u64)> {
    let attr = Fields(cx.read::<24>(arg)?);
    let (flags, group, number) = (attr.u32(0), attr.u32(4), attr.u64(8));
    cx.note.detail = Some(format!("group={group} attr={number}"));
    // kvm_x86_dev_get_attr() and sev_dev_get_attr(): attributes have no flags, and without SEV there is no such group.
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let value = match (group, number) {
        (GROUP_SEV, VMSA_FEATURES) if cx.script.snp => cx.script.vmsa_features(),
        (GROUP_SEV, SNP_POLICY_BITS) if cx.script.snp && cx.profile().tells_policy_bits() => {
            cx.script.snp_policy_bits
        }
        _ => return Err(Errno::ENXIO),
    };
    Ok((value, attr.u64(16)))
}
