//! `KVM_CREATE_VM`.
//!
//! **Invariant:** a type that `KVM_CAP_VM_TYPES` does not name is EINVAL.

use super::{Arch, Common, Vm, VmType};
use crate::cx::Cx;
use crate::snp::Snp;
use crate::tdx::Tdx;
use crate::world::{FileId, Kind};
use crate::{Answer, Errno};

/// The types of VM that there are on this machine.
pub(crate) fn types(cx: &Cx<'_>) -> impl Iterator<Item = VmType> {
    let (snp, tdx) = (cx.script.snp, cx.script.has_tdx());
    [
        (VmType::Plain, true),
        (VmType::Snp, snp),
        (VmType::Tdx, tdx),
    ]
    .into_iter()
    .filter_map(|(vm_type, is_there)| is_there.then_some(vm_type))
}

/// Makes a VM with this id.
pub(crate) fn create(cx: &mut Cx<'_>, id: u64, number: u64) -> Answer<(i32, FileId, Vm)> {
    cx.note.detail = Some(format!("type={number}"));
    let vm_type = types(cx)
        .find(|vm_type| vm_type.number() == number)
        .ok_or(Errno::EINVAL)?;
    let (fd, file) = cx.world.create(Kind::Vm, 0)?;
    let vm = Vm {
        pid: cx.world.pid(),
        common: Common {
            id,
            ..Common::default()
        },
        arch: match vm_type {
            VmType::Plain => Arch::Plain,
            VmType::Snp => Arch::Snp(Snp::default()),
            VmType::Tdx => Arch::Tdx(Tdx::default()),
        },
    };
    Ok((fd, file, vm))
}
