//! What a guest can do that brings it back, in real mode.

use super::{halt, one, output};
use crate::{Exit, Gpa};

#[test]
fn a_guest_prints_and_halts() {
    #[rustfmt::skip]
    let code = [
        0xba, 0xf8, 0x03,       // mov dx, 0x3f8
        0xb0, b'h',             // mov al, 'h'
        0xee,                   // out dx, al
        0xb0, b'i',             // mov al, 'i'
        0xee,                   // out dx, al
        0xf4,                   // hlt
        0xe6, 0xe9,             // out 0xe9, al
    ];
    let Some(mut vcpu) = one("a_guest_prints_and_halts", &code, &[]) else {
        return;
    };
    assert_eq!(output(&mut vcpu, 0x3f8), b"h");
    assert_eq!(output(&mut vcpu, 0x3f8), b"i");
    halt(&mut vcpu);
    assert_eq!(output(&mut vcpu, 0xe9), b"i", "it goes on behind HLT");
}

#[test]
fn a_string_comes_in_at_once_and_goes_out_by_element() {
    #[rustfmt::skip]
    let code = [
        0xfc,                   // cld
        0xbf, 0x00, 0x50,       // mov di, DATA
        0xb9, 0x0b, 0x00,       // mov cx, 11
        0xba, 0xf8, 0x03,       // mov dx, 0x3f8
        0xf3, 0x6c,             // rep insb
        0xbe, 0x00, 0x50,       // mov si, DATA
        0xb9, 0x0b, 0x00,       // mov cx, 11
        0xf3, 0x6e,             // rep outsb
        0xf4,                   // hlt
    ];
    let Some(mut vcpu) = one(
        "a_string_comes_in_at_once_and_goes_out_by_element",
        &code,
        &[],
    ) else {
        return;
    };
    let Exit::PortIn {
        port: 0x3f8,
        size: 1,
        data,
    } = vcpu.run().unwrap()
    else {
        panic!("no input");
    };
    data.copy_from_slice(b"hello guest");
    let taken: Vec<_> = (0..11).map(|_| output(&mut vcpu, 0x3f8)).collect();
    assert_eq!(taken.concat(), b"hello guest");
    halt(&mut vcpu);
}

#[test]
fn what_a_port_reads_reaches_the_guest() {
    #[rustfmt::skip]
    let code = [
        0xe5, 0x60,             // in ax, 0x60
        0x40,                   // inc ax
        0xe7, 0xe9,             // out 0xe9, ax
        0xf4,                   // hlt
    ];
    let Some(mut vcpu) = one("what_a_port_reads_reaches_the_guest", &code, &[]) else {
        return;
    };
    let Exit::PortIn {
        port: 0x60,
        size: 2,
        data,
    } = vcpu.run().unwrap()
    else {
        panic!("no input");
    };
    data.copy_from_slice(&0x12ff_u16.to_le_bytes());
    assert_eq!(output(&mut vcpu, 0xe9), 0x1300_u16.to_le_bytes());
    halt(&mut vcpu);
}

#[test]
fn memory_in_no_slot_is_read_and_written_outside() {
    #[rustfmt::skip]
    let code = [
        0xb8, 0x00, 0x10,       // mov ax, 0x1000
        0x8e, 0xd8,             // mov ds, ax
        0x66, 0xa1, 0x20, 0x00, // mov eax, [0x20]
        0x66, 0xe7, 0xe9,       // out 0xe9, eax
        0xa2, 0x24, 0x00,       // mov [0x24], al
        0xf4,                   // hlt
    ];
    let Some(mut vcpu) = one("memory_in_no_slot_is_read_and_written_outside", &code, &[]) else {
        return;
    };
    let first = Gpa::new(0x10020);
    let Exit::Mmio {
        gpa,
        write: false,
        data,
    } = vcpu.run().unwrap()
    else {
        panic!("no read");
    };
    assert_eq!((gpa, data.len()), (first, 4));
    data.copy_from_slice(&[1, 2, 3, 4]);
    assert_eq!(output(&mut vcpu, 0xe9), [1, 2, 3, 4]);
    let Exit::Mmio {
        gpa,
        write: true,
        data,
    } = vcpu.run().unwrap()
    else {
        panic!("no write");
    };
    assert_eq!((gpa, &*data), (Gpa::new(0x10024), &[1][..]));
    halt(&mut vcpu);
}

#[test]
fn a_jump_out_of_memory_ends_in_an_internal_error_at_a_known_address() {
    let test = "a_jump_out_of_memory_ends_in_an_internal_error_at_a_known_address";
    let code = [0xea, 0x10, 0x00, 0x00, 0x10]; // jmp 0x1000:0x0010
    let Some(mut vcpu) = one(test, &code, &[]) else {
        return;
    };
    let Exit::InternalError { suberror, .. } = vcpu.run().unwrap() else {
        panic!("it went somewhere");
    };
    assert_eq!(suberror, kvm_bindings::KVM_INTERNAL_ERROR_EMULATION);
    let (cs, rip) = (
        vcpu.vcpu().system_registers().unwrap().cs.base,
        vcpu.vcpu().general_registers().unwrap().rip,
    );
    let gpa = vcpu.translate(cs + rip).unwrap();
    assert_eq!(gpa, Some(Gpa::new(0x10010)));
}
