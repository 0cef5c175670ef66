//! The state of a vCPU that was just made (`kvm_vcpu_reset()`, `arch/x86/kvm/x86.c`).
//!
//! **Invariant:** what stands here is what a real KVM_GET_REGS and KVM_GET_SREGS show before anything was set.

use std::collections::BTreeMap;

use crate::wire::Fields;

const MSR_PAT: u32 = 0x277;
const DATA: u8 = 3;
const CODE: u8 = 0xb;
const LDT: u8 = 2;
const BUSY_TSS: u8 = 0xb;

/// `struct kvm_regs`: rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8 to r15, rip, rflags.
pub(super) fn regs() -> [u8; 144] {
    let mut regs = Fields([0; 144]);
    regs.put(24, &0x600_u64.to_le_bytes());
    regs.put(128, &0xfff0_u64.to_le_bytes());
    regs.put(136, &2_u64.to_le_bytes());
    regs.0
}

/// `struct kvm_sregs`: eight segments and two tables of 24 and 16 bytes, cr0, cr2, cr3, cr4, cr8, efer, apic_base, the interrupts.
pub(super) fn sregs(index: u32) -> [u8; 312] {
    let mut sregs = Fields([0; 312]);
    sregs.put(0, &segment(0xffff_0000, 0xf000, CODE, true));
    for at in [24, 48, 72, 96, 120] {
        sregs.put(at, &segment(0, 0, DATA, true));
    }
    sregs.put(144, &segment(0, 0, BUSY_TSS, false));
    sregs.put(168, &segment(0, 0, LDT, false));
    for at in [192, 208] {
        sregs.put(at + 8, &0xffff_u16.to_le_bytes());
    }
    sregs.put(224, &0x6000_0010_u64.to_le_bytes());
    let bootstrap = if index == 0 { 0x100 } else { 0 };
    sregs.put(272, &(0xfee0_0800_u64 | bootstrap).to_le_bytes());
    sregs.0
}

/// The MSRs that are not zero.
pub(super) fn msrs() -> BTreeMap<u32, u64> {
    BTreeMap::from([(MSR_PAT, 0x0007_0406_0007_0406)])
}

/// `struct kvm_segment`: base, limit, selector, type, present, dpl, db, s, l, g, avl, unusable.
fn segment(base: u64, selector: u16, kind: u8, is_code_or_data: bool) -> [u8; 24] {
    let mut segment = Fields([0; 24]);
    segment.put(0, &base.to_le_bytes());
    segment.put(8, &0xffff_u32.to_le_bytes());
    segment.put(12, &selector.to_le_bytes());
    segment.put(14, &[kind, 1, 0, 0, u8::from(is_code_or_data)]);
    segment.0
}
