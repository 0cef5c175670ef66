//! A launch from beginning to end, and its measurement (kernel.md sections 3.2 and 8.2).

use stagepages_kernel_model::{Errno, File, Machine, Object, Profile, Script, What};

use crate::process::Process;
use crate::rig::{CREATE_VCPU, CREATE_VM, INIT_VM, KERNELS, PAGE, Rig, SOURCE, left};

const EMPTY: &str = "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b";
const ADDED: &str = "8f3e9a8aca6784eab874f7aa4dda5d49104a88047f1f86695ef2a88f5691a90e34aac48ce45ffa1f5a23c7d62980d570";
const ZERO: &str = "236f0efa607ff8843f1855d7ef80dc3dda8fb455787a186b8787212951eab0096e3193bb26f817c2b63c21f5e10f9938";
const TWO: &str = "d872f439e727948d169ba92830f5ed3fab8e6d883f20fea1e2df2c7f315f374b0deff410b34df43863b72ff0472f5037";

#[test]
fn a_td_is_built_and_measured() {
    for profile in KERNELS {
        let (rig, vcpu) = Rig::ready(Script::tdx(profile));
        rig.put(SOURCE + PAGE, &[&[0xaa; 4096]]);
        let staged = rig.stage(vcpu, 0, 2);
        assert_eq!(staged.answer, Ok(0), "{profile}");
        assert_eq!(staged.left, left(0, 2, 2), "{profile}");
        assert_eq!(rig.finalize(), (Ok(0), 0), "{profile}");
        assert_eq!(rig.digest().as_deref(), Some(TWO), "{profile}");
        assert_eq!(rig.stored(0), Some(vec![0; 4096]));
        assert_eq!(rig.stored(1), Some(vec![0xaa; 4096]));
        assert_eq!(rig.stored(2), None);
        assert!(rig.process.violations().is_empty(), "{profile}");
    }
}

#[test]
fn what_is_measured_is_what_was_installed() {
    for (pages, flags, digest) in [(0, 0, EMPTY), (1, 0, ADDED), (1, 1, ZERO)] {
        let (rig, vcpu) = Rig::ready(Script::tdx(Profile::V6_19));
        if pages > 0 {
            let staged = rig.stage_with(vcpu, [SOURCE, 0, pages], flags);
            assert_eq!(staged.answer, Ok(0));
        }
        assert_eq!(rig.finalize(), (Ok(0), 0));
        assert_eq!(rig.digest().as_deref(), Some(digest));
    }
}

#[test]
fn how_a_region_is_cut_into_calls_changes_no_measurement() {
    let measure = |cuts: &[(u64, u64)]| {
        let (rig, vcpu) = Rig::ready(Script::tdx(Profile::V7_1));
        for page in 0..4 {
            rig.put(SOURCE + page * PAGE, &[&[0x5a; 4096]]);
        }
        for (gfn, pages) in cuts {
            assert_eq!(rig.stage(vcpu, *gfn, *pages).answer, Ok(0));
        }
        assert_eq!(rig.finalize(), (Ok(0), 0));
        rig.digest().unwrap()
    };
    let whole = measure(&[(0, 4)]);
    assert_eq!(measure(&[(0, 1), (1, 3)]), whole);
    assert_ne!(measure(&[(1, 3), (0, 1)]), whole);
}

#[test]
fn a_kernel_without_tdx_has_no_such_vm() {
    const CHECK_EXTENSION: u64 = 0xae03;
    const VM_TYPES: u64 = 235;
    for (profile, types) in [
        (Profile::V6_11, 1),
        (Profile::V6_18, 0x21),
        (Profile::V6_19, 0x21),
        (Profile::V7_1, 0x21),
    ] {
        let script = Script::tdx(profile);
        let parameter = script.file("/sys/module/kvm_intel/parameters/tdx");
        assert_eq!(parameter == Some(File::Absent), types == 1, "{profile}");
        let machine = Machine::new(script);
        let process = Process::new();
        let ask = |request, arg| machine.ioctl(&process, Object::Kvm, request, arg);
        assert_eq!(ask(CHECK_EXTENSION, VM_TYPES), Ok(types), "{profile}");
        if types == 1 {
            assert_eq!(ask(CREATE_VM, 5), Err(Errno::EINVAL), "{profile}");
        }
    }
}

#[test]
fn a_finished_td_takes_no_more() {
    for profile in KERNELS {
        let (rig, vcpu) = Rig::ready(Script::tdx(profile));
        assert_eq!(rig.finalize(), (Ok(0), 0));
        assert!(rig.process.violations().is_empty());
        let staged = rig.stage(vcpu, 0, 1);
        assert_eq!(staged.answer, Err(Errno::EINVAL), "{profile}");
        assert_eq!(staged.left, left(0, 1, 0), "{profile}");
        assert_eq!(rig.finalize(), (Err(Errno::EINVAL), 0), "{profile}");
        assert_eq!(rig.ioctl(CREATE_VCPU, 1), Err(Errno::EIO), "{profile}");
        assert_eq!(
            rig.process.violations(),
            [
                "a command of a vCPU after KVM_TDX_FINALIZE_VM",
                "KVM_TDX_FINALIZE_VM after one that succeeded",
            ]
        );
    }
}

#[test]
fn nothing_is_finished_before_it_began() {
    let rig = Rig::new(Script::tdx(Profile::V7_1));
    assert_eq!(rig.finalize(), (Err(Errno::EINVAL), 0));
    assert_eq!(rig.digest(), None);
}

#[test]
fn a_call_tells_what_it_was_asked_and_how_far_it_came() {
    let (rig, vcpu) = Rig::ready(Script::tdx(Profile::V6_18));
    rig.stage_with(vcpu, [SOURCE, 3 * PAGE, 2], 0);
    let told = rig.process.told.borrow();
    let Some(What::End(note)) = told.last() else {
        panic!("{told:?}");
    };
    assert_eq!(note.call, "KVM_TDX_INIT_MEM_REGION");
    assert_eq!((note.vm, note.vcpu), (Some(0), Some(0)));
    assert_eq!(
        (note.gfn, note.pages, note.pages_done),
        (Some(3), Some(2), Some(2))
    );
    assert_eq!(note.uaddr, Some(SOURCE));
    assert_eq!(note.detail.as_deref(), Some("measure=false"));
    assert_eq!((note.ret, note.errno, note.error), (Some(0), None, None));
    let ends = told.iter().filter_map(|what| {
        if let What::End(note) = what {
            Some(note)
        } else {
            None
        }
    });
    let mut inits = ends.filter(|note| note.call == "KVM_TDX_INIT_VM");
    let init = inits.next().unwrap().detail.as_deref();
    const LEAF: &str = "cpuid.0x80000008.0x0=0x300000,0x0,0x0,0x0";
    let owner = "22".repeat(48);
    let expected = format!(
        "attributes=0x10000000 xfam=0x3 mrconfigid={} mrowner={owner} mrownerconfig={} leaves=1 {LEAF}",
        "11".repeat(48),
        "33".repeat(48)
    );
    assert_eq!(init, Some(&*expected));
}

#[test]
fn another_process_gets_eio() {
    let (rig, vcpu) = Rig::ready(Script::tdx(Profile::V7_1));
    rig.process.pid.set(2);
    assert_eq!(rig.plain(rig.vm, INIT_VM).0, Err(Errno::EIO));
    assert_eq!(rig.stage(vcpu, 0, 1).answer, Err(Errno::EIO));
}
