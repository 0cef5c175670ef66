//! A VM belongs to the process that made it: why a launch host is a process.

use std::io;

use super::{CODE, enter_real_mode, halt, running, vm_with};
use crate::{Cap, abi};

/// `KVM_CHECK_EXTENSION`: `_IO(KVMIO, 0x03)`.
const KVM_CHECK_EXTENSION: libc::c_ulong = 0xae03;

/// What a system call on an inherited descriptor answers in a forked child: its errno, 0 for success.
fn errno_in_a_child(fd: libc::c_int, request: libc::c_ulong, argument: libc::c_ulong) -> i32 {
    // SAFETY: the child calls nothing but async-signal-safe functions, and ends without running any of this process's code.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: neither of the two requests reads or writes memory of the caller.
        let ret = unsafe { libc::ioctl(fd, request, argument) };
        let errno = io::Error::last_os_error().raw_os_error();
        let status = if ret < 0 { errno.unwrap_or(-1) } else { 0 };
        // SAFETY: ends the process; no destructor runs.
        unsafe { libc::_exit(status) };
    }
    assert!(child > 0);
    let mut status = 0;
    // SAFETY: writes the status, which is live for the call.
    let reaped = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(reaped, child);
    assert!(libc::WIFEXITED(status), "{status:#x}");
    libc::WEXITSTATUS(status)
}

#[test]
fn another_process_can_neither_ask_nor_run_the_vm() {
    let test = "another_process_can_neither_ask_nor_run_the_vm";
    let Some((vm, memory)) = vm_with(test, &[(CODE, &[0xf4])]) else {
        return;
    };
    let vcpu = vm.create_vcpu(0).unwrap();
    enter_real_mode(&vcpu, CODE);
    let (vm_fd, vcpu_fd) = (vm.fd_number(), vcpu.fd_number());
    let running = running(vm, memory);
    let mut vcpu = vcpu.attach(&running).unwrap();
    let capability = Cap::NrMemslots.abi().into();
    assert_eq!(
        errno_in_a_child(vm_fd, KVM_CHECK_EXTENSION, capability),
        libc::EIO
    );
    assert_eq!(errno_in_a_child(vcpu_fd, abi::KVM_RUN, 0), libc::EIO);
    assert!(running.check_extension(Cap::NrMemslots).unwrap() >= 32);
    halt(&mut vcpu);
}
