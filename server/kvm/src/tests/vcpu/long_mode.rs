//! A guest in 64-bit mode, with its own page tables.

use super::{CODE, DATA, halt, kvm, output, running, vm_with};
use crate::{Exit, Gpa, RunnableVcpu, Segment, Vcpu};

const PML4: u64 = 0x2000;
const PDPT: u64 = 0x3000;
const PD: u64 = 0x4000;

/// Present and writable.
const TABLE: u64 = 0x3;
/// The same for a page of 2 MiB.
const LARGE: u64 = 0x83;
/// Set by whoever walks through the entry.
const ACCESSED: u8 = 0x20;

/// A guest whose first 2 MiB of linear addresses, and the next 2 MiB as well, are its physical memory.
fn long_mode(test: &str, code: &[u8], data: &[u8]) -> Option<RunnableVcpu> {
    let directory = [LARGE, LARGE].map(u64::to_le_bytes).concat();
    let parts: [(u64, &[u8]); 5] = [
        (CODE, code),
        (PML4, &(PDPT | TABLE).to_le_bytes()),
        (PDPT, &(PD | TABLE).to_le_bytes()),
        (PD, &directory),
        (DATA, data),
    ];
    let (vm, memory) = vm_with(test, &parts)?;
    let vcpu = vm.create_vcpu(0).unwrap();
    let table = kvm(test)?.supported_cpuid().unwrap();
    vcpu.set_cpuid(&table.for_vcpu(0)).unwrap();
    enter_long_mode(&vcpu);
    Some(vcpu.attach(&running(vm, memory)).unwrap())
}

fn enter_long_mode(vcpu: &Vcpu) {
    let mut system = vcpu.system_registers().unwrap();
    let segment = |attributes| Segment {
        selector: 8,
        attributes,
        limit: u32::MAX,
        base: 0,
    };
    system.cs = segment(0xa09b);
    let data = segment(0xc093);
    (system.ds, system.es, system.ss) = (data, data, data);
    system.tr.attributes = 0x8b;
    system.cr0 = 0x8000_0031;
    system.cr3 = PML4;
    system.cr4 = 0x20;
    system.efer = 0x500;
    vcpu.set_system_registers(&system).unwrap();
    let mut general = vcpu.general_registers().unwrap();
    general.rip = CODE;
    vcpu.set_general_registers(&general).unwrap();
}

#[test]
fn a_guest_reads_its_own_memory() {
    #[rustfmt::skip]
    let code = [
        0x48, 0x8b, 0x04, 0x25, 0x00, 0x50, 0x00, 0x00, // mov rax, [DATA]
        0xe7, 0xe9,                                     // out 0xe9, eax
        0x48, 0xc1, 0xe8, 0x20,                         // shr rax, 32
        0xe7, 0xe9,                                     // out 0xe9, eax
        0xf4,                                           // hlt
    ];
    let Some(mut vcpu) = long_mode("a_guest_reads_its_own_memory", &code, b"answered") else {
        return;
    };
    assert_eq!(output(&mut vcpu, 0xe9), b"answ");
    assert_eq!(output(&mut vcpu, 0xe9), b"ered");
    halt(&mut vcpu);
    let system = vcpu.vcpu().system_registers().unwrap();
    assert_eq!((system.cs.attributes, system.efer), (0xa09b, 0x500));
}

#[test]
fn translating_writes_guest_memory() {
    #[rustfmt::skip]
    let code = [
        0x8a, 0x04, 0x25, 0x08, 0x40, 0x00, 0x00, // again: mov al, [PD + 8]
        0xe6, 0xe9,                               // out 0xe9, al
        0xeb, 0xf5,                               // jmp again
    ];
    let Some(mut vcpu) = long_mode("translating_writes_guest_memory", &code, &[]) else {
        return;
    };
    assert_eq!(output(&mut vcpu, 0xe9), [0x83]);
    assert_eq!(
        vcpu.translate(0x20_5678).unwrap(),
        Some(Gpa::new(0x5678)),
        "through an entry that the guest never used"
    );
    assert_eq!(output(&mut vcpu, 0xe9), [0x83 | ACCESSED]);
    assert_eq!(vcpu.translate(0x40_0000).unwrap(), None);
}

#[test]
fn a_triple_fault_is_a_shutdown() {
    #[rustfmt::skip]
    let code = [
        0x0f, 0x01, 0x1c, 0x25, 0x00, 0x50, 0x00, 0x00, // lidt [DATA]: a table of one byte, in which no vector fits
        0x0f, 0x0b,                                     // ud2
    ];
    let Some(mut vcpu) = long_mode("a_triple_fault_is_a_shutdown", &code, &[0; 10]) else {
        return;
    };
    let exit = vcpu.run().unwrap();
    assert!(matches!(exit, Exit::Shutdown), "{exit:?}");
}
