//! Memslots: what can be bound, and that bound addresses stay mapped.

use std::sync::Arc;

use super::{errno, kvm, memory, vm};
use crate::{Gfn, GfnRange, KvmError, VmType};

fn range(start: u64, pages: u64) -> GfnRange {
    GfnRange::new(Gfn::new(start).unwrap(), pages).unwrap()
}

#[test]
fn overlapping_guest_frames_are_refused() {
    let Some(mut vm) = vm("overlapping_guest_frames_are_refused") else {
        return;
    };
    let (low, high) = (memory(&vm, 4).map().unwrap(), memory(&vm, 4).map().unwrap());
    vm.set_memory_region(0, range(0x10, 4), &low, 0).unwrap();
    for start in [0xd, 0x10, 0x13] {
        assert_eq!(
            errno(vm.set_memory_region(1, range(start, 4), &high, 0)),
            Some(libc::EEXIST),
            "{start:#x}"
        );
    }
    vm.set_memory_region(1, range(0x14, 4), &high, 0).unwrap();
}

#[test]
fn pages_bound_once_are_not_bound_again() {
    let Some(mut vm) = vm("pages_bound_once_are_not_bound_again") else {
        return;
    };
    let mapping = memory(&vm, 4).map().unwrap();
    vm.set_memory_region(0, range(0, 2), &mapping, 0).unwrap();
    // EEXIST from Linux 7.2 on.
    assert!(matches!(
        errno(vm.set_memory_region(1, range(8, 2), &mapping, 1)),
        Some(libc::EINVAL | libc::EEXIST)
    ));
    vm.set_memory_region(1, range(8, 2), &mapping, 2).unwrap();
}

#[test]
fn the_memory_of_another_vm_is_refused() {
    let Some(mut vm) = vm("the_memory_of_another_vm_is_refused") else {
        return;
    };
    let Some(kvm) = kvm("the_memory_of_another_vm_is_refused") else {
        return;
    };
    let other = kvm.create_vm(VmType::Default).unwrap();
    let foreign = memory(&other, 1).map().unwrap();
    assert_eq!(
        errno(vm.set_memory_region(0, range(0, 1), &foreign, 0)),
        Some(libc::EINVAL)
    );
}

#[test]
fn a_slot_is_deleted_not_changed() {
    let Some(mut vm) = vm("a_slot_is_deleted_not_changed") else {
        return;
    };
    let mapping = memory(&vm, 2).map().unwrap();
    assert_eq!(errno(vm.delete_memory_region(0)), Some(libc::EINVAL));
    vm.set_memory_region(0, range(0, 2), &mapping, 0).unwrap();
    assert_eq!(
        errno(vm.set_memory_region(0, range(8, 2), &mapping, 0)),
        Some(libc::EINVAL)
    );
    vm.delete_memory_region(0).unwrap();
    vm.set_memory_region(0, range(8, 2), &mapping, 0).unwrap();
}

#[test]
fn slot_numbers_beyond_the_kernels_limit_are_refused() {
    let Some(mut vm) = vm("slot_numbers_beyond_the_kernels_limit_are_refused") else {
        return;
    };
    let mapping = memory(&vm, 1).map().unwrap();
    assert_eq!(
        errno(vm.set_memory_region(0xffff, range(0, 1), &mapping, 0)),
        Some(libc::EINVAL)
    );
}

#[test]
fn a_slot_longer_than_its_memory_never_reaches_the_kernel() {
    let Some(mut vm) = vm("a_slot_longer_than_its_memory_never_reaches_the_kernel") else {
        return;
    };
    let mapping = memory(&vm, 2).map().unwrap();
    for (pages, first) in [(3, 0), (2, 1), (1, 2), (1, u64::MAX)] {
        let result = vm.set_memory_region(0, range(0, pages), &mapping, first);
        assert!(
            matches!(result, Err(KvmError::OutOfBounds { total: 2, .. })),
            "{pages} {first:#x}"
        );
    }
}

#[test]
fn bound_addresses_stay_mapped_until_the_slot_is_gone() {
    let Some(mut vm) = vm("bound_addresses_stay_mapped_until_the_slot_is_gone") else {
        return;
    };
    let mapping = memory(&vm, 2).map().unwrap();
    let span = Arc::downgrade(mapping.span());
    vm.set_memory_region(0, range(0, 1), &mapping, 0).unwrap();
    vm.set_memory_region(1, range(4, 1), &mapping, 1).unwrap();
    drop(mapping);
    vm.delete_memory_region(0).unwrap();
    assert!(span.upgrade().is_some(), "slot 1 still names them");
    vm.delete_memory_region(1).unwrap();
    assert!(span.upgrade().is_none());
}

#[test]
fn bound_addresses_are_unmapped_with_the_vm() {
    let Some(mut vm) = vm("bound_addresses_are_unmapped_with_the_vm") else {
        return;
    };
    let mapping = memory(&vm, 1).map().unwrap();
    let span = Arc::downgrade(mapping.span());
    vm.set_memory_region(0, range(0, 1), &mapping, 0).unwrap();
    drop(mapping);
    assert!(span.upgrade().is_some());
    drop(vm);
    assert!(span.upgrade().is_none());
}
