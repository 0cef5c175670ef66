//! What a correct launch host never does with a TD, and that each of it is told (kernel.md sections 1.4, 3, 5 and 10).

use stagepages_kernel_model::{Errno, Profile, Script};

use crate::rig::{CAPABILITIES, Command, FINALIZE_VM, INIT_VCPU, Init, PARAMS, Rig, SOURCE, words};

const SIGTERM: u64 = 1 << 14;

#[test]
fn a_strange_region_is_told() {
    for (region, words) in [
        ([0, 0, 1], "a source of NULL"),
        ([SOURCE + 8, 0, 1], "the source is not page-aligned"),
        ([SOURCE, 0, 0], "a region of no pages"),
    ] {
        let (rig, vcpu) = Rig::ready(Script::tdx(Profile::V6_19));
        rig.stage_with(vcpu, region, 1).answer.unwrap_err();
        assert_eq!(rig.process.violations(), [words]);
    }
}

#[test]
fn flags_and_a_stale_hw_error_are_told_and_einval() {
    let (rig, vcpu) = Rig::ready(Script::tdx(Profile::V6_18));
    let command = |id, flags, hw_error| Command {
        id,
        flags,
        data: PARAMS,
        hw_error,
    };
    for (object, command, words) in [
        (
            rig.vm,
            command(CAPABILITIES, 1, 0),
            "flags 0x1 of kvm_tdx_cmd",
        ),
        (
            rig.vm,
            command(FINALIZE_VM, 2, 0),
            "flags 0x2 of kvm_tdx_cmd",
        ),
        (vcpu, command(INIT_VCPU, 1, 0), "flags 0x1 of kvm_tdx_cmd"),
        (
            rig.vm,
            command(FINALIZE_VM, 0, 5),
            "`hw_error` is not zero before the call",
        ),
        (
            vcpu,
            command(INIT_VCPU, 0, 5),
            "`hw_error` is not zero before the call",
        ),
    ] {
        let (answer, hw_error) = rig.command(object, command);
        assert_eq!((answer, hw_error), (Err(Errno::EINVAL), command.hw_error));
        assert_eq!(rig.process.violations().last().unwrap(), words);
    }
    assert_eq!(rig.process.violations().len(), 5);
}

#[test]
fn padding_of_init_vm_is_told() {
    let table = "the padding of a kvm_cpuid_entry2 is not zero";
    let head = "reserved fields or padding of kvm_tdx_init_vm are not zero";
    let mut padded = crate::rig::address_width(48);
    padded[8] = 1;
    let ok = Init::default();
    for (init, answer, words) in [
        (
            Init {
                reserved: 1,
                ..ok.clone()
            },
            Err(Errno::EINVAL),
            head,
        ),
        (
            Init {
                padding: 1,
                ..ok.clone()
            },
            Err(Errno::EINVAL),
            head,
        ),
        (
            Init {
                cpuid: vec![padded],
                ..ok.clone()
            },
            Ok(0),
            table,
        ),
    ] {
        let rig = Rig::new(Script::tdx(Profile::V7_1));
        assert_eq!(rig.init_vm(&init).0, answer);
        assert_eq!(rig.process.violations(), [words]);
    }
}

#[test]
fn an_open_signal_is_told() {
    let (rig, vcpu) = Rig::ready(Script::tdx(Profile::V6_18));
    rig.process.blocked.set(!SIGTERM);
    assert_eq!(rig.stage(vcpu, 0, 1).answer, Ok(0));
    assert_eq!(rig.finalize().0, Ok(0));
    let words = "the thread does not block the signals 0x4000";
    assert_eq!(rig.process.violations(), [words, words]);
}

#[test]
fn an_unlocked_source_is_told() {
    let (rig, vcpu) = Rig::ready(Script::tdx(Profile::V6_18));
    rig.process.locks.set(false);
    assert_eq!(rig.stage(vcpu, 0, 1).answer, Ok(0));
    assert_eq!(
        rig.process.violations(),
        ["the source is not locked in memory"]
    );
}

#[test]
fn a_guest_memfd_that_leaks_into_children_is_told_once() {
    let (rig, vcpu) = Rig::ready(Script::tdx(Profile::V6_18));
    rig.process.cloexec.set(false);
    assert_eq!(rig.stage(vcpu, 0, 1).answer, Ok(0));
    assert_eq!(rig.stage(vcpu, 1, 1).answer, Ok(0));
    assert_eq!(
        rig.process.violations(),
        ["the guest_memfd is not close-on-exec at the first page"]
    );
}

#[test]
fn a_guest_memfd_with_flags_is_told() {
    const CREATE_GUEST_MEMFD: u64 = 0xc040_aed4;
    let rig = Rig::new(Script::tdx(Profile::V6_18));
    rig.put(PARAMS, &[&words(&[4096, 2]), &[0; 48]]);
    let answer = rig.ioctl(CREATE_GUEST_MEMFD, PARAMS);
    assert_eq!(answer, Err(Errno::EINVAL));
    assert_eq!(
        rig.process.violations(),
        ["a guest_memfd of a confidential VM has flags (kernel.md 5.1: use 0)"]
    );
}

#[test]
fn a_closed_guest_memfd_is_efault() {
    let (rig, vcpu) = Rig::ready(Script::tdx(Profile::V7_1));
    rig.process.close(rig.gmem_fd);
    assert_eq!(rig.stage(vcpu, 0, 1).answer, Err(Errno::EFAULT));
}
