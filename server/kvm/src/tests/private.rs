//! Memslots on memory that nobody maps, and what a plain VM says of private frames.

use super::{SHARED, errno, kvm, vm};
use crate::{Cap, Gfn, GfnRange, GuestMemfd, GuestMemfdFlags, KvmError, PAGE_SIZE, Vm, VmType};

fn range(start: u64, pages: u64) -> GfnRange {
    GfnRange::new(Gfn::new(start).unwrap(), pages).unwrap()
}

fn unmapped(vm: &Vm, pages: u64) -> GuestMemfd {
    vm.create_guest_memfd(pages * PAGE_SIZE, GuestMemfdFlags::NONE)
        .unwrap()
}

#[test]
fn memory_that_nobody_maps_can_be_bound() {
    let Some(mut vm) = vm("memory_that_nobody_maps_can_be_bound") else {
        return;
    };
    let memory = unmapped(&vm, 8);
    vm.set_private_region(0, range(0x10, 4), &memory, 0)
        .unwrap();
    vm.set_private_region(1, range(0x100, 4), &memory, 4)
        .unwrap();
    assert_eq!(
        errno(vm.set_private_region(2, range(0x13, 1), &unmapped(&vm, 1), 0)),
        Some(libc::EEXIST),
        "frames of slot 0"
    );
    vm.delete_memory_region(0).unwrap();
    vm.set_private_region(2, range(0x13, 1), &unmapped(&vm, 1), 0)
        .unwrap();
}

#[test]
fn memory_of_another_vm_is_not_bound() {
    let Some(mut vm) = vm("memory_of_another_vm_is_not_bound") else {
        return;
    };
    let Some(kvm) = kvm("memory_of_another_vm_is_not_bound") else {
        return;
    };
    let other = kvm.create_vm(VmType::Default).unwrap();
    assert_eq!(
        errno(vm.set_private_region(0, range(0, 1), &unmapped(&other, 1), 0)),
        Some(libc::EINVAL)
    );
}

#[test]
fn a_slot_stays_inside_its_memory() {
    let Some(mut vm) = vm("a_slot_stays_inside_its_memory") else {
        return;
    };
    let memory = unmapped(&vm, 2);
    for (pages, first) in [(3, 0), (2, 1), (1, 2), (1, u64::MAX), (1, 1 << 52)] {
        let result = vm.set_private_region(0, range(0, pages), &memory, first);
        assert!(
            matches!(result, Err(KvmError::OutOfBounds { total: 2, .. })),
            "{pages} {first:#x}: {result:?}"
        );
    }
    vm.set_private_region(0, range(0, 1), &memory, 1).unwrap();
}

#[test]
fn memory_that_can_be_mapped_is_not_private() {
    let Some(mut vm) = vm("memory_that_can_be_mapped_is_not_private") else {
        return;
    };
    for flags in [SHARED, GuestMemfdFlags::MMAP] {
        let memory = vm.create_guest_memfd(PAGE_SIZE, flags).unwrap();
        let result = vm.set_private_region(0, range(0, 1), &memory, 0);
        assert!(
            matches!(result, Err(KvmError::Mappable { .. })),
            "{flags:?}: {result:?}"
        );
    }
}

#[test]
fn private_memory_does_not_have_to_be_given_up() {
    let Some(mut vm) = vm("private_memory_does_not_have_to_be_given_up") else {
        return;
    };
    let memory = unmapped(&vm, 1);
    vm.set_private_region(0, range(0, 1), &memory, 0).unwrap();
    vm.into_running(Vec::new()).unwrap();
}

#[test]
fn frames_are_private_exactly_where_the_kernel_offers_it() {
    let Some(mut vm) = vm("frames_are_private_exactly_where_the_kernel_offers_it") else {
        return;
    };
    let memory = unmapped(&vm, 2);
    vm.set_private_region(0, range(0, 2), &memory, 0).unwrap();
    let offered = vm.check_extension(Cap::MemoryAttributes).unwrap();
    let made = vm.set_private(range(0, 2));
    if offered & kvm_bindings::KVM_MEMORY_ATTRIBUTE_PRIVATE == 0 {
        // ENOTTY where the kernel was built without attributes, EINVAL where this type of VM has none.
        assert!(
            matches!(errno(made), Some(libc::ENOTTY | libc::EINVAL)),
            "{offered:#x}"
        );
    } else {
        made.unwrap();
    }
}

#[test]
fn the_interrupt_controllers_are_split_once_and_before_any_vcpu() {
    let Some(vm) = vm("the_interrupt_controllers_are_split_once_and_before_any_vcpu") else {
        return;
    };
    assert_eq!(vm.check_extension(Cap::SplitIrqchip).unwrap(), 1);
    assert_eq!(errno(vm.enable_split_irqchip(u32::MAX)), Some(libc::EINVAL));
    vm.enable_split_irqchip(24).unwrap();
    assert_eq!(errno(vm.enable_split_irqchip(24)), Some(libc::EEXIST));
    vm.create_vcpu(0).unwrap();

    let Some(kvm) = kvm("the_interrupt_controllers_are_split_once_and_before_any_vcpu") else {
        return;
    };
    let late = kvm.create_vm(VmType::Default).unwrap();
    late.create_vcpu(0).unwrap();
    assert_eq!(errno(late.enable_split_irqchip(24)), Some(libc::EEXIST));
}
