//! The ioctls that lay out a VM's memory.
//!
//! **Invariant:** nothing is changed by a call that fails.

use super::{Gmem, Memory, PAGE, Slot};
use crate::cx::Cx;
use crate::wire::Fields;
use crate::world::{FileId, Kind};
use crate::{Answer, Errno, VmType};

const KVM_MEM_GUEST_MEMFD: u32 = 4;
/// `KVM_USER_MEM_SLOTS` and `KVM_MEM_MAX_NR_PAGES`.
const MAX_SLOTS: u32 = 0x7fff;
const MAX_PAGES: u64 = (1 << 31) - 1;
const ATTRIBUTE_PRIVATE: u64 = 8;
pub(crate) const MMAP: u64 = 1;
const INIT_SHARED: u64 = 2;

/// The flags that a guest_memfd may have (`kvm_gmem_create()`, `virt/kvm/guest_memfd.c`).
pub(crate) fn guest_memfd_flags(cx: &Cx<'_>, vm_type: VmType) -> u64 {
    match (cx.profile().has_guest_memfd_flags(), vm_type) {
        (false, _) => 0,
        (true, VmType::Plain) => MMAP | INIT_SHARED,
        // INIT_SHARED is not offered where memory is private by nature.
        (true, VmType::Snp | VmType::Tdx) => MMAP,
    }
}

/// Such a VM can have a guest_memfd: until 6.16 only where memory is private by nature.
pub(crate) fn has_guest_memfd(cx: &Cx<'_>, vm_type: VmType) -> bool {
    cx.profile().has_guest_memfd_flags() || vm_type != VmType::Plain
}

/// `KVM_CREATE_GUEST_MEMFD`.
pub(crate) fn create_guest_memfd(
    cx: &mut Cx<'_>,
    memory: &mut Memory,
    vm_type: VmType,
    arg: u64,
) -> Answer<(i32, FileId, u64)> {
    let args = Fields(cx.read::<64>(arg)?);
    let (bytes, flags) = (args.u64(0), args.u64(8));
    cx.note.detail = Some(format!("size={bytes:#x} flags={flags:#x}"));
    cx.require(
        args.is_zero(16, 48),
        "reserved fields of kvm_create_guest_memfd are not zero",
    );
    cx.require(
        flags == 0 || vm_type == VmType::Plain,
        "a guest_memfd of a confidential VM has flags (kernel.md 5.1: use 0)",
    );
    if !has_guest_memfd(cx, vm_type) || flags & !guest_memfd_flags(cx, vm_type) != 0 {
        return Err(Errno::EINVAL);
    }
    if bytes == 0 || !bytes.is_multiple_of(PAGE) || i64::try_from(bytes).is_err() {
        return Err(Errno::EINVAL);
    }
    let (fd, file) = cx.world.create(Kind::GuestMemfd, bytes)?;
    memory.gmems.insert(file, Gmem::new(fd, bytes));
    Ok((fd, file, flags))
}

/// `KVM_SET_USER_MEMORY_REGION2`, and the shorter one before it.
pub(crate) fn set_region(cx: &mut Cx<'_>, memory: &mut Memory, arg: u64, long: bool) -> Answer {
    let mut args = Fields([0; 160]);
    if long {
        args.0 = cx.read(arg)?;
        cx.require(
            args.is_zero(44, 4) && args.is_zero(48, 112),
            "padding of kvm_userspace_memory_region2 is not zero",
        );
    } else {
        args.put(0, &cx.read::<32>(arg)?);
    }
    let (number, flags) = (args.u32(0), args.u32(4));
    let (gpa, bytes, uaddr) = (args.u64(8), args.u64(16), args.u64(24));
    cx.note.gfn = Some(gpa / PAGE);
    cx.note.pages = Some(bytes / PAGE);
    cx.note.uaddr = Some(uaddr);
    cx.note.detail = Some(format!("slot={number} flags={flags:#x}"));
    let with_gmem = flags & KVM_MEM_GUEST_MEMFD != 0;
    // READONLY and dirty logging go with no guest_memfd (check_memory_region_flags(), virt/kvm/kvm_main.c).
    if flags & !KVM_MEM_GUEST_MEMFD != 0 || with_gmem && !long {
        return Err(Errno::EINVAL);
    }
    if [gpa, bytes, uaddr]
        .iter()
        .any(|value| !value.is_multiple_of(PAGE))
    {
        return Err(Errno::EINVAL);
    }
    if gpa.checked_add(bytes).is_none() || bytes / PAGE > MAX_PAGES || number >= MAX_SLOTS {
        return Err(Errno::EINVAL);
    }
    if bytes == 0 {
        return memory.slots.remove(&number).map(|_| 0).ok_or(Errno::EINVAL);
    }
    if memory.slots.contains_key(&number) {
        // A slot with a guest_memfd is immutable; nothing here changes one without.
        return Err(Errno::EINVAL);
    }
    let mut slot = Slot {
        gfn: gpa / PAGE,
        pages: bytes / PAGE,
        gmem: None,
    };
    let overlaps =
        |other: &Slot| slot.gfn < other.gfn + other.pages && other.gfn < slot.gfn + slot.pages;
    if memory.slots.values().any(overlaps) {
        return Err(Errno::EEXIST);
    }
    if with_gmem {
        slot.gmem = Some(bind(cx, memory, args.i32(40), args.u64(32), bytes)?);
    }
    memory.slots.insert(number, slot);
    Ok(0)
}

/// `kvm_gmem_bind()`, `virt/kvm/guest_memfd.c`.
fn bind(cx: &Cx<'_>, memory: &Memory, fd: i32, offset: u64, bytes: u64) -> Answer<(FileId, u64)> {
    let file = cx.world.identify(fd).ok_or(Errno::EBADF)?;
    // No guest_memfd, or another VM's.
    let gmem = memory.gmems.get(&file).ok_or(Errno::EINVAL)?;
    let end = offset.checked_add(bytes).ok_or(Errno::EINVAL)?;
    if !offset.is_multiple_of(PAGE) || end > gmem.bytes {
        return Err(Errno::EINVAL);
    }
    let (first, pages) = (offset / PAGE, bytes / PAGE);
    let is_bound = memory.slots.values().any(|slot| {
        slot.gmem.is_some_and(|(other, at)| {
            other == file && first < at + slot.pages && at < first + pages
        })
    });
    if is_bound {
        return Err(Errno::EINVAL);
    }
    Ok((file, first))
}

/// `KVM_SET_MEMORY_ATTRIBUTES` (`kvm_vm_ioctl_set_mem_attributes()`, `virt/kvm/kvm_main.c`).
pub(crate) fn set_attributes(
    cx: &mut Cx<'_>,
    memory: &mut Memory,
    vm_type: VmType,
    arg: u64,
) -> Answer {
    let args = Fields(cx.read::<32>(arg)?);
    let (addr, bytes, attributes, flags) = (args.u64(0), args.u64(8), args.u64(16), args.u64(24));
    cx.note.gfn = Some(addr / PAGE);
    cx.note.pages = Some(bytes / PAGE);
    cx.note.detail = Some(format!("attributes={attributes:#x}"));
    let supported = supported_attributes(vm_type);
    let end = addr.checked_add(bytes).ok_or(Errno::EINVAL)?;
    if flags != 0 || attributes & !supported != 0 || bytes == 0 {
        return Err(Errno::EINVAL);
    }
    if !addr.is_multiple_of(PAGE) || !bytes.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    if attributes & ATTRIBUTE_PRIVATE == 0 {
        memory.private.remove(addr / PAGE, end / PAGE);
    } else {
        memory.private.add(addr / PAGE, end / PAGE);
    }
    Ok(0)
}

/// The attributes that pages of such a VM may have.
pub(crate) fn supported_attributes(vm_type: VmType) -> u64 {
    match vm_type {
        VmType::Plain => 0,
        VmType::Snp | VmType::Tdx => ATTRIBUTE_PRIVATE,
    }
}
