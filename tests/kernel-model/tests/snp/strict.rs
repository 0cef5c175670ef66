//! What a correct launch host never does, and that each of it is told (kernel.md sections 1.4, 2.5, 2.8 and 10).

use crate::rig::{Rig, SOURCE};
use stagepages_kernel_model::{Answer, Errno, Profile, Script};

fn rig() -> Rig {
    Rig::started(Script::snp(Profile::V6_18))
}

fn assert_one(rig: &Rig, words: &str) {
    assert_eq!(rig.process.violations(), [words]);
}

#[test]
fn a_source_of_null_is_told_and_is_eio() {
    let rig = rig();
    assert_eq!(rig.update_from(0, 0x10, 1, 4096).answer, Err(Errno::EIO));
    assert_one(&rig, "a source of NULL");
}

#[test]
fn a_zero_page_needs_no_source() {
    let rig = rig();
    assert_eq!(rig.update_from(0, 0x10, 3, 4096).answer, Ok(0));
    assert!(rig.process.violations().is_empty());
}

#[test]
fn padding_and_a_stale_error_are_told() {
    let rig = rig();
    assert_eq!(rig.command_with(101, 1, 0).0, Err(Errno::EINVAL));
    assert_eq!(rig.command_with(101, 0, 7).0, Err(Errno::EINVAL));
    let told = rig.process.violations();
    assert!(
        told.iter()
            .any(|words| words == "the padding of kvm_sev_cmd is not zero"),
        "{told:?}"
    );
    assert!(
        told.iter()
            .any(|words| words.starts_with("`error` is not zero")),
        "{told:?}"
    );
}

#[test]
fn two_secrets_pages_in_one_call_are_told() {
    let rig = rig();
    assert_eq!(rig.update(0x10, 5, 2).pages, 2);
    assert_one(&rig, "more than one CPUID or SECRETS page in one call");
}

#[test]
fn an_unlocked_source_is_told() {
    let rig = rig();
    rig.process.locks.set(false);
    assert_eq!(rig.update(0x10, 1, 1).pages, 1);
    assert_one(&rig, "the source is not locked in memory");
}

#[test]
fn an_open_signal_is_told() {
    const SIGTERM: u64 = 1 << 14;
    let rig = rig();
    rig.process.blocked.set(!SIGTERM);
    assert_eq!(rig.update(0x10, 1, 1).pages, 1);
    assert_one(&rig, "the thread does not block the signals 0x4000");
}

#[test]
fn what_no_thread_can_block_or_only_harms_itself_with_may_be_open() {
    let rig = rig();
    let open = [9, 19, 32, 33, 11, 7, 8, 4, 5, 31];
    let open = open
        .iter()
        .fold(0_u64, |mask, signal| mask | 1 << (signal - 1));
    rig.process.blocked.set(!open);
    assert_eq!(rig.update(0x10, 1, 1).pages, 1);
    assert!(rig.process.violations().is_empty());
}

#[test]
fn a_guest_memfd_that_leaks_into_children_is_told_once() {
    let rig = rig();
    rig.process.cloexec.set(false);
    assert_eq!(rig.update(0x10, 1, 1).pages, 1);
    assert_eq!(rig.update(0x11, 1, 1).pages, 1);
    assert_one(
        &rig,
        "the guest_memfd is not close-on-exec at the first page",
    );
}

#[test]
fn another_number_for_dev_sev_is_told_and_none_is_eio() {
    let mut rig = rig();
    let (other, _) = rig.process.open();
    rig.sev_fd = other;
    assert_eq!(rig.update(0x10, 1, 1).answer, Err(Errno::EIO));
    assert_one(&rig, "/dev/sev has another number than at LAUNCH_START");
}

#[test]
fn a_dev_sev_that_was_closed_is_ebadf_at_the_end() {
    let rig = rig();
    rig.process.close(rig.sev_fd);
    assert_eq!(rig.finish().0, Err(Errno::EBADF));
}

#[test]
fn a_hole_is_told_and_the_page_can_then_be_installed_again() {
    const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    let rig = rig();
    assert_eq!(rig.update(0x10, 1, 1).pages, 1);
    let fallocate = |mode, offset, bytes| -> Answer {
        let file = (rig.gmem_fd, rig.gmem);
        rig.machine
            .fallocate(&rig.process, file, mode, offset, bytes)
    };
    assert_eq!(fallocate(libc::FALLOC_FL_KEEP_SIZE, 0, 0x1_0000), Ok(0));
    assert_eq!(
        fallocate(libc::FALLOC_FL_KEEP_SIZE, 0, 0x1_1000),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        fallocate(libc::FALLOC_FL_KEEP_SIZE, 1, 4096),
        Err(Errno::EINVAL)
    );
    assert_eq!(fallocate(0, 0, 4096), Err(Errno::EOPNOTSUPP));
    assert!(rig.process.violations().is_empty());
    assert_eq!(fallocate(PUNCH, 0, 4096), Ok(0));
    assert_one(
        &rig,
        "a hole is punched: the page is measured, and its contents are lost",
    );
    assert_eq!(rig.stored(0), None);
    assert_eq!(rig.update(0x10, 1, 1).pages, 1);
}

#[test]
fn an_ioctl_that_nobody_needs_is_told() {
    const KVM_SET_TSS_ADDR: u64 = 0xae47;
    let rig = rig();
    assert_eq!(rig.ioctl(KVM_SET_TSS_ADDR, 0), Err(Errno::ENOTTY));
    assert_one(&rig, "ioctl 0xae47 is none that the model knows");
    let on_vm = rig.ioctl(0x8090_ae81, SOURCE);
    assert_eq!(on_vm, Err(Errno::ENOTTY));
    assert_eq!(
        rig.process.violations()[1],
        "KVM_GET_REGS is no ioctl of a VM"
    );
}
