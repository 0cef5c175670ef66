//! What a VM needs before its vCPUs may run.

use std::sync::Arc;

use super::super::memory;
use super::{PAGES, halt, running, vm, vm_with};
use crate::{Gfn, GfnRange, MemoryWithheld};

const HLT: &[u8] = &[0xf4];

#[test]
fn memory_that_is_not_given_up_keeps_the_vm_from_running() {
    let test = "memory_that_is_not_given_up_keeps_the_vm_from_running";
    let Some((mut vm, first)) = vm_with(test, &[]) else {
        return;
    };
    let second = memory(&vm, 2).map().unwrap();
    for (slot, frame) in [(1, PAGES), (2, PAGES + 1)] {
        let range = GfnRange::new(Gfn::new(frame).unwrap(), 1).unwrap();
        vm.set_memory_region(slot, range, &second, u64::from(slot) - 1)
            .unwrap();
    }
    let MemoryWithheld {
        slot,
        vm,
        mut memory,
    } = vm.into_running(vec![first]).unwrap_err();
    assert_eq!(slot, 1);
    assert_eq!(second.pages(0, 1).unwrap()[0], 0);
    memory.push(second);
    drop(vm.into_running(memory).unwrap());
}

#[test]
fn memory_that_was_dropped_is_out_of_reach_and_stays_mapped() {
    let test = "memory_that_was_dropped_is_out_of_reach_and_stays_mapped";
    let Some((vm, memory)) = vm_with(test, &[(0x1000, HLT)]) else {
        return;
    };
    let span = Arc::downgrade(memory.span());
    drop(memory);
    // Its descriptor is closed, so the slot has no memory any more: nothing that could run.
    let running = vm.into_running(Vec::new()).unwrap();
    assert!(span.upgrade().is_some());
    drop(running);
    assert!(span.upgrade().is_none());
}

#[test]
fn memory_stays_mapped_as_long_as_a_vcpu_can_run() {
    let test = "memory_stays_mapped_as_long_as_a_vcpu_can_run";
    let Some((vm, memory)) = vm_with(test, &[(0x1000, HLT)]) else {
        return;
    };
    let span = Arc::downgrade(memory.span());
    let vcpu = vm.create_vcpu(0).unwrap();
    super::enter_real_mode(&vcpu, 0x1000);
    let mut vcpu = {
        let running = running(vm, memory);
        vcpu.attach(&running).unwrap()
    };
    halt(&mut vcpu);
    assert!(span.upgrade().is_some());
    drop(vcpu);
    assert!(span.upgrade().is_none());
}

#[test]
fn a_vcpu_runs_in_the_vm_that_made_it_only() {
    let test = "a_vcpu_runs_in_the_vm_that_made_it_only";
    let (Some((vm, memory)), Some(other)) = (vm_with(test, &[(0x1000, HLT)]), vm(test)) else {
        return;
    };
    let vcpu = vm.create_vcpu(0).unwrap();
    super::enter_real_mode(&vcpu, 0x1000);
    let other = Arc::new(other.into_running(Vec::new()).unwrap());
    let refused = vcpu.attach(&other).unwrap_err();
    halt(&mut refused.0.attach(&running(vm, memory)).unwrap());
}
