//! The ways in which a guest stops: each with its reason, and all it wrote told before.

use stagepages_host::{
    guest::{GuestStop, StopReason},
    launch::State,
    serve::Ended,
};
use stagepages_kvm::Gpa;

use crate::{
    images::{FIRST, HELLO, LOOP, SECOND, SPELL, long_mode, page_tables},
    rig::{Daemon, Heard, Host, kvm, real_mode},
};

/// Runs code in real mode to its end.
fn run(code: &[u8]) -> (Heard, GuestStop) {
    let host = Host::new();
    let mut daemon = host.daemon(1);
    daemon.run_real_mode(code);
    let told = daemon.hear();
    end(host, daemon);
    told
}

fn end(host: Host, mut daemon: Daemon) {
    assert_eq!(daemon.state(), State::Stopped);
    daemon.bye();
    assert_eq!(host.ended(), Ended::Over);
}

#[test]
fn a_guest_in_real_mode_prints_and_halts() {
    let (heard, stop) = run(HELLO);
    assert_eq!(
        (heard.serial.as_slice(), heard.debug.as_slice()),
        (&b"Hi"[..], &b"!"[..])
    );
    assert_eq!(heard.missed, 0);
    assert_eq!((stop.reason, stop.vcpu), (StopReason::Halted, None));
}

#[test]
fn a_guest_in_64_bit_mode_reads_what_was_staged_and_exits() {
    let host = Host::new();
    let mut daemon = host.daemon(1);
    let parts: [(u64, &[u8]); 3] = [
        (0x1000, SPELL),
        (0x2000, &page_tables()),
        (0x5000, b"answered"),
    ];
    daemon.stage(kvm(vec![long_mode()]), &parts);
    daemon.finish();
    daemon.listen(0);
    daemon.start();
    let (heard, stop) = daemon.hear();
    assert_eq!(heard.debug, b"answered");
    assert_eq!(
        (stop.reason, stop.vcpu, stop.exit_code),
        (StopReason::ExitCode, Some(0), Some(7))
    );
    assert!(stop.message.contains("rip 0x10"), "{}", stop.message);
    end(host, daemon);
}

#[test]
fn exit_codes_have_up_to_32_bits() {
    #[rustfmt::skip]
    let code = [
        0x66, 0xb8, 0x78, 0x56, 0x34, 0x12, // mov eax, 0x12345678
        0x66, 0xe7, 0xf4,                   // out 0xf4, eax
    ];
    let (_, stop) = run(&code);
    assert_eq!(
        (stop.reason, stop.exit_code),
        (StopReason::ExitCode, Some(0x1234_5678))
    );
}

#[test]
fn a_pc_can_be_turned_off_and_reset() {
    #[rustfmt::skip]
    let off = [
        0xba, 0x04, 0x06,       // mov dx, 0x604
        0xb8, 0x00, 0x20,       // mov ax, 0x2000
        0xef,                   // out dx, ax
    ];
    #[rustfmt::skip]
    let reset = [
        0xb0, 0xfe,             // mov al, 0xfe
        0xe6, 0x64,             // out 0x64, al
    ];
    for (code, says) in [(&off[..], "0x604"), (&reset[..], "0x64")] {
        let (_, stop) = run(code);
        assert_eq!((stop.reason, stop.vcpu), (StopReason::Shutdown, Some(0)));
        assert!(stop.message.contains(says), "{}", stop.message);
    }
}

#[test]
fn a_triple_fault_is_told_as_such() {
    let host = Host::new();
    let mut daemon = host.daemon(1);
    // ud2: a 64-bit vCPU begins without an interrupt table.
    let parts: [(u64, &[u8]); 2] = [(0x1000, &[0x0f, 0x0b]), (0x2000, &page_tables())];
    daemon.stage(kvm(vec![long_mode()]), &parts);
    daemon.finish();
    daemon.start();
    let (_, stop) = daemon.hear();
    assert_eq!((stop.reason, stop.vcpu), (StopReason::TripleFault, Some(0)));
    end(host, daemon);
}

#[test]
fn a_jump_out_of_memory_is_a_memory_fault_at_its_address() {
    let (_, stop) = run(&[0xea, 0x10, 0x00, 0x00, 0x10]); // jmp 0x1000:0x0010
    assert_eq!(
        (stop.reason, stop.vcpu, stop.gpa),
        (StopReason::MemoryFault, Some(0), Some(Gpa::new(0x10010)))
    );
}

#[test]
fn an_access_outside_memory_is_a_memory_fault_and_shows_no_data() {
    #[rustfmt::skip]
    let read = [
        0xb8, 0x00, 0x10,       // mov ax, 0x1000
        0x8e, 0xd8,             // mov ds, ax
        0xa0, 0x20, 0x00,       // mov al, [0x20]
    ];
    #[rustfmt::skip]
    let write = [
        0xb8, 0x00, 0x10,             // mov ax, 0x1000
        0x8e, 0xd8,                   // mov ds, ax
        0xc6, 0x06, 0x24, 0x00, 0x5a, // mov byte [0x24], 0x5a
    ];
    for (code, gpa) in [(&read[..], 0x10020), (&write[..], 0x10024)] {
        let (_, stop) = run(code);
        assert_eq!(
            (stop.reason, stop.gpa),
            (StopReason::MemoryFault, Some(Gpa::new(gpa)))
        );
        assert!(!stop.message.contains("5a"), "{}", stop.message);
    }
}

#[test]
fn an_endless_loop_is_stopped_and_answered_when_it_is() {
    let host = Host::new();
    let mut daemon = host.daemon(1);
    let mut other = host.daemon(1);
    daemon.run_real_mode(LOOP);
    assert_eq!(daemon.state(), State::Running);
    daemon.stop().unwrap();
    assert_eq!(daemon.state(), State::Stopped);
    let (_, stop) = daemon.hear();
    assert_eq!((stop.reason, stop.vcpu), (StopReason::Requested, None));
    // The other one did not ask, and is told all the same.
    let (_, told) = other.hear();
    assert_eq!(told, stop);
    daemon.stop().unwrap();
    end(host, daemon);
}

#[test]
fn two_vcpus_run_at_once() {
    let host = Host::new();
    let mut daemon = host.daemon(1);
    let create = kvm(vec![real_mode(0, 0x100), real_mode(1, 0x200)]);
    daemon.stage(create, &[(0x1000, FIRST), (0x2000, SECOND)]);
    daemon.finish();
    daemon.listen(0);
    daemon.start();
    let (mut heard, stop) = daemon.hear();
    heard.debug.sort_unstable();
    assert_eq!(heard.debug, b"AB");
    assert_eq!(stop.reason, StopReason::Halted);
    end(host, daemon);
}

#[test]
fn one_vcpu_that_ends_the_guest_takes_the_others_along() {
    let host = Host::new();
    let mut daemon = host.daemon(1);
    let create = kvm(vec![
        real_mode(0, 0x100),
        real_mode(1, 0x200),
        real_mode(2, 0x100),
    ]);
    let exit = [0xb0, 0x03, 0xe6, 0xf4]; // mov al, 3; out 0xf4, al
    daemon.stage(create, &[(0x1000, LOOP), (0x2000, &exit)]);
    daemon.finish();
    daemon.start();
    let (_, stop) = daemon.hear();
    assert_eq!(
        (stop.reason, stop.vcpu, stop.exit_code),
        (StopReason::ExitCode, Some(1), Some(3))
    );
    end(host, daemon);
}

#[test]
fn a_vcpu_that_waits_to_be_started_counts_as_halted_and_is_named() {
    let host = Host::new();
    let mut daemon = host.daemon(1);
    let mut create = kvm(vec![real_mode(0, 0x100)]);
    create.vcpus = 2;
    daemon.stage(create, &[(0x1000, HELLO)]);
    daemon.finish();
    daemon.start();
    let (_, stop) = daemon.hear();
    assert_eq!(stop.reason, StopReason::Halted);
    assert!(
        stop.message.contains("vCPUs [1] never ran"),
        "{}",
        stop.message
    );
    end(host, daemon);
}
