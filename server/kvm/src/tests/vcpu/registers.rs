//! Registers, CPUID and the page attribute table: what is set is read back, and what cannot be is refused.

use super::super::errno;
use super::{kvm, vm};
use crate::{DescriptorTable, GeneralRegisters, KvmError, Segment};

#[test]
fn a_new_vcpu_is_a_processor_after_reset() {
    let Some(vm) = vm("a_new_vcpu_is_a_processor_after_reset") else {
        return;
    };
    for index in [0, 1] {
        let vcpu = vm.create_vcpu(index).unwrap();
        let system = vcpu.system_registers().unwrap();
        let general = vcpu.general_registers().unwrap();
        assert_eq!((system.cs.base, system.cs.selector), (0xffff_0000, 0xf000));
        assert_eq!(system.cs.attributes & 0x80, 0x80, "present");
        assert_eq!((general.rip, general.rflags), (0xfff0, 2));
        assert_eq!((system.cr0 & 0x8000_0001, system.efer), (0, 0));
        let boots = system.apic_base >> 8 & 1 == 1;
        assert_eq!(boots, index == 0);
    }
    assert_eq!(errno(vm.create_vcpu(0)), Some(libc::EEXIST));
}

#[test]
fn registers_are_read_back_as_they_were_set() {
    let Some(vm) = vm("registers_are_read_back_as_they_were_set") else {
        return;
    };
    let vcpu = vm.create_vcpu(0).unwrap();
    let general = GeneralRegisters {
        rax: 1,
        rbx: 2,
        rcx: 3,
        rdx: 4,
        rsi: 5,
        rdi: 6,
        rsp: 7,
        rbp: 8,
        r8: 9,
        r9: 10,
        r10: 11,
        r11: 12,
        r12: 13,
        r13: 14,
        r14: 15,
        r15: u64::MAX,
        rip: 0x7c00,
        rflags: 0x246,
    };
    vcpu.set_general_registers(&general).unwrap();
    assert_eq!(vcpu.general_registers().unwrap(), general);
    let mut system = vcpu.system_registers().unwrap();
    system.fs = Segment {
        selector: 0x1234,
        attributes: 0x93,
        limit: 0xffff,
        base: 0x12340,
    };
    system.gdt = DescriptorTable {
        base: 0x5000,
        limit: 0x17,
    };
    system.cr2 = 0xdead_b000;
    vcpu.set_system_registers(&system).unwrap();
    assert_eq!(vcpu.system_registers().unwrap(), system);
}

#[test]
fn contradicting_control_registers_are_refused() {
    let Some(vm) = vm("contradicting_control_registers_are_refused") else {
        return;
    };
    let vcpu = vm.create_vcpu(0).unwrap();
    let before = vcpu.system_registers().unwrap();
    let mut system = before.clone();
    system.efer = 0x400;
    let refused = vcpu.set_system_registers(&system);
    assert_eq!(errno(refused), Some(libc::EINVAL), "LMA without LME");
    assert_eq!(vcpu.system_registers().unwrap(), before);
}

#[test]
fn an_msr_that_is_not_set_is_an_error_without_errno() {
    let Some(vm) = vm("an_msr_that_is_not_set_is_an_error_without_errno") else {
        return;
    };
    let vcpu = vm.create_vcpu(0).unwrap();
    vcpu.set_pat(0x0007_0406_0007_0406).unwrap();
    // No processor has one of this number.
    let refused = vcpu.set_msr(0xdead_0000, 5).unwrap_err();
    assert!(matches!(
        refused,
        KvmError::MsrRefused {
            index: 0xdead_0000,
            value: 5
        }
    ));
    assert_eq!(refused.errno(), None);
}

#[test]
fn the_hosts_processor_can_be_shown_to_a_guest() {
    let test = "the_hosts_processor_can_be_shown_to_a_guest";
    let (Some(kvm), Some(vm)) = (kvm(test), vm(test)) else {
        return;
    };
    let table = kvm.supported_cpuid().unwrap();
    assert!((36..=52).contains(&table.physical_address_bits()));
    assert!([48, 57].contains(&table.linear_address_bits()));
    // PAE and PGE, and long mode: every processor that KVM runs on.
    assert_eq!(table.cr4_bits() & 0xa0, 0xa0);
    assert_eq!(table.efer_bits() & 0x500, 0x500);
    for index in [0, 3] {
        let vcpu = vm.create_vcpu(index).unwrap();
        let mine = table.for_vcpu(index);
        assert_eq!(mine.leaf(1, 0).unwrap().ebx >> 24, index);
        vcpu.set_cpuid(&mine).unwrap();
    }
}
