//! What `/dev/kvm` says, and that commands are counted.

use std::sync::{Arc, mpsc};
use std::thread;

use stagepages_kernel_model::world::World;
use stagepages_kernel_model::{
    Answer, Call, Effect, Errno, Fault, Machine, Object, Profile, Script, Violations,
};

use crate::process::Process;
use crate::rig::{ARGS, CREATE_VCPU, CREATE_VM, ENCRYPT_OP, Rig, SOURCE, words};

const CHECK_EXTENSION: u64 = 0xae03;
const GET_DEVICE_ATTR: u64 = 0x4018_aee2;
const HAS_DEVICE_ATTR: u64 = 0x4018_aee3;

fn kvm(script: Script, request: u64, arg: u64, args: &[u64]) -> (Answer, u64) {
    let machine = Machine::new(script);
    let process = Process::new();
    process.write(ARGS, &words(args)).unwrap();
    let answer = machine.ioctl(&process, Object::Kvm, request, arg);
    let mut value = [0; 8];
    process.read(SOURCE, &mut value).unwrap();
    (answer, u64::from_le_bytes(value))
}

#[test]
fn the_types_of_vm_are_those_of_the_script() {
    let both = Script {
        tdx: true,
        ..Script::snp(Profile::V6_18)
    };
    for (script, types) in [
        (Script::default(), 0x1),
        (Script::snp(Profile::V6_18), 0x11),
        (Script::tdx(Profile::V6_18), 0x21),
        (both, 0x31),
    ] {
        let offered = |vm_type| types >> vm_type & 1 == 1;
        assert_eq!(kvm(script.clone(), CHECK_EXTENSION, 235, &[]).0, Ok(types));
        for vm_type in 0..8 {
            let made = kvm(script.clone(), CREATE_VM, vm_type, &[]).0.is_ok();
            assert_eq!(made, offered(vm_type), "{types:#x} {vm_type}");
        }
    }
}

#[test]
fn capabilities_follow_the_kernel_and_the_type_of_vm() {
    for profile in Profile::ALL {
        let rig = Rig::new(Script::snp(profile));
        let has_flags = profile >= Profile::V6_18;
        for (cap, of_device, of_vm) in [
            (231, 1, 1),
            (233, 8, 8),
            (234, 1, 1),
            (244, if has_flags { 3 } else { 0 }, i32::from(has_flags)),
            (12_345, 0, 0),
        ] {
            let device = kvm(Script::snp(profile), CHECK_EXTENSION, cap, &[]).0;
            assert_eq!(device, Ok(of_device), "{profile} {cap}");
            assert_eq!(
                rig.ioctl(CHECK_EXTENSION, cap),
                Ok(of_vm),
                "{profile} {cap}"
            );
        }
    }
}

#[test]
fn device_attributes_tell_features_and_from_6_19_policy_bits() {
    for profile in Profile::ALL {
        let ask = |request, attr| {
            kvm(
                Script::snp(profile),
                request,
                ARGS,
                &[1 << 32, attr, SOURCE],
            )
        };
        let features = if profile < Profile::V6_18 {
            0x20
        } else {
            0x220
        };
        assert_eq!(ask(GET_DEVICE_ATTR, 0), (Ok(0), features), "{profile}");
        let bits = if profile < Profile::V6_19 {
            (Err(Errno::ENXIO), 0)
        } else {
            (Ok(0), 0x1b_ffff)
        };
        assert_eq!(ask(GET_DEVICE_ATTR, 1), bits, "{profile}");
        assert_eq!(ask(HAS_DEVICE_ATTR, 1).0, bits.0, "{profile}");
    }
    let without = kvm(
        Script::default(),
        HAS_DEVICE_ATTR,
        ARGS,
        &[1 << 32, 0, SOURCE],
    );
    assert_eq!(without.0, Err(Errno::ENXIO));
}

#[test]
fn a_scripted_errno_strikes_any_call() {
    let script = Script::snp(Profile::V6_18)
        .with_fault(Fault::at(Call::CreateVm, Effect::Errno(libc::ENOMEM)));
    assert_eq!(kvm(script, CREATE_VM, 4, &[]).0, Err(Errno::ENOMEM));
    let script = Script::snp(Profile::V6_18)
        .with_fault(Fault::at(Call::CreateVcpu, Effect::Errno(libc::EMFILE)));
    let rig = Rig::new(script);
    assert_eq!(rig.ioctl(CREATE_VCPU, 0), Err(Errno::EMFILE));
    rig.create_vcpu(0);
    assert_eq!(rig.ioctl(CREATE_VCPU, 0), Err(Errno::EEXIST));
    assert_eq!(rig.ioctl(CREATE_VCPU, 1024), Err(Errno::EINVAL));
}

/// One command waits for firmware; a second thread issues another meanwhile.
#[test]
fn a_second_command_of_a_vm_that_is_under_one_is_told() {
    let script = Script::snp(Profile::V6_18)
        .with_fault(Fault::at(Call::SnpLaunchUpdate, Effect::Latency(1)));
    let rig = Rig::started(script);
    let (machine, vm) = (Arc::clone(&rig.machine), rig.vm);
    let (heard, violations) = mpsc::channel();
    let (finished, second) = mpsc::channel();
    *rig.process.on_wait.borrow_mut() = Some(Box::new(move || {
        let other = move || {
            let process = Process::new();
            *process.heard.borrow_mut() = Some(heard);
            process.write(ARGS, &100_u32.to_le_bytes()).unwrap();
            finished
                .send(machine.ioctl(&process, vm, ENCRYPT_OP, ARGS))
                .unwrap();
        };
        thread::Builder::new().spawn(other).unwrap();
        let words = violations.recv().unwrap();
        assert_eq!(words, "another command of this VM has not returned yet");
    }));
    assert_eq!(rig.update(0x10, 1, 1).pages, 1);
    // It ran when the first had ended; its parameters are at NULL.
    assert_eq!(second.recv().unwrap(), Err(Errno::EFAULT));
    assert!(rig.process.violations().is_empty());
}

#[test]
fn a_violation_stops_the_process_unless_the_script_says_otherwise() {
    for (violations, stops) in [(Violations::Abort, true), (Violations::Record, false)] {
        let script = Script {
            violations,
            ..Script::default()
        };
        let machine = Machine::new(script);
        let process = Process::new();
        assert_eq!(
            machine.ioctl(&process, Object::Kvm, 0xae47, 0),
            Err(Errno::ENOTTY)
        );
        assert_eq!(process.stopped.get(), stops);
        assert_eq!(process.violations().len(), 1);
    }
}
