//! Faults of a TDX launch beside the table of causes: what they leave behind, and what strikes whole calls (kernel.md section 3).

use std::time::Duration;

use stagepages_kernel_model::{Call, Effect, Errno, Fault, Profile, Script};

use crate::causes::{REFUSED, STATUS, UNMEASURED, stage};
use crate::rig::{KERNELS, Rig, Staged, left};

#[test]
fn poisoned_memory_stays_so() {
    for profile in KERNELS {
        let (rig, vcpu) = Rig::ready(Script::tdx(profile).with_fault(stage(Effect::Poisoned)));
        for _ in 0..2 {
            let staged = rig.stage(vcpu, 0, 2);
            let expected = Staged {
                answer: Err(Errno::EHWPOISON),
                left: left(0, 2, 0),
            };
            assert_eq!(staged, expected, "{profile}");
        }
    }
}

#[test]
fn a_dead_vm_answers_eio_to_everything() {
    const CHECK_EXTENSION: u64 = 0xae03;
    let (rig, vcpu) = Rig::ready(Script::tdx(Profile::V7_1).with_fault(stage(REFUSED)));
    assert_eq!(rig.stage(vcpu, 0, 1).answer, Err(Errno::EIO));
    assert_eq!(rig.ioctl(CHECK_EXTENSION, 235), Err(Errno::EIO));
    assert_eq!(rig.vcpu_ioctl(vcpu, 0x8090_ae81, 0), Err(Errno::EIO));
    assert_eq!(rig.digest(), None);
}

#[test]
fn a_page_that_was_not_added_is_neither_stored_nor_measured() {
    let script = Script::tdx(Profile::V6_18).with_fault(stage(REFUSED).on_gfn(1));
    let (rig, vcpu) = Rig::ready(script);
    assert_eq!(rig.stage(vcpu, 0, 2).answer, Err(Errno::EIO));
    assert!(rig.stored(0).is_some());
    assert_eq!(rig.stored(1), None);
}

#[test]
fn a_page_that_was_added_and_not_measured_is_told_apart() {
    let script = Script::tdx(Profile::V6_18).with_fault(stage(UNMEASURED));
    let (rig, vcpu) = Rig::ready(script);
    assert_eq!(rig.stage(vcpu, 0, 1).answer, Err(Errno::EIO));
    assert!(rig.stored(0).is_some());
    assert_eq!(rig.finalize(), (Ok(0), 0));
    let added = "8f3e9a8aca6784eab874f7aa4dda5d49104a88047f1f86695ef2a88f5691a90e34aac48ce45ffa1f5a23c7d62980d570";
    assert_eq!(rig.digest().as_deref(), Some(added));
}

#[test]
fn without_measuring_no_measuring_can_fail() {
    let script = Script::tdx(Profile::V7_1).with_fault(stage(UNMEASURED));
    let (rig, vcpu) = Rig::ready(script);
    let staged = rig.stage_with(vcpu, left(0, 1, 0), 0);
    assert_eq!(staged.answer, Ok(0));
}

#[test]
fn a_vcpu_that_is_created_meanwhile_is_ebusy_from_6_19() {
    for profile in [Profile::V6_19, Profile::V7_1] {
        let faults = [
            stage(Effect::VcpuCreationRace),
            Fault::at(Call::TdxFinalizeVm, Effect::VcpuCreationRace),
        ];
        let script = faults
            .into_iter()
            .fold(Script::tdx(profile), Script::with_fault);
        let (rig, vcpu) = Rig::ready(script);
        let staged = rig.stage(vcpu, 0, 2);
        let expected = Staged {
            answer: Err(Errno::EBUSY),
            left: left(0, 2, 0),
        };
        assert_eq!(staged, expected, "{profile}");
        assert_eq!(rig.stage(vcpu, 0, 2).answer, Ok(0), "{profile}");
        assert_eq!(rig.finalize(), (Err(Errno::EBUSY), 0), "{profile}");
        assert_eq!(rig.finalize(), (Ok(0), 0), "{profile}");
    }
}

#[test]
fn an_errno_strikes_before_anything_happens() {
    let fault = stage(Effect::Errno(libc::EAGAIN)).after(1).times(2);
    let (rig, vcpu) = Rig::ready(Script::tdx(Profile::V6_18).with_fault(fault));
    assert_eq!(rig.stage(vcpu, 0, 3).answer, Ok(0));
    for _ in 0..2 {
        let staged = rig.stage(vcpu, 3, 3);
        let expected = Staged {
            answer: Err(Errno::EAGAIN),
            left: left(3, 3, 0),
        };
        assert_eq!(staged, expected);
    }
    assert_eq!(rig.stage(vcpu, 3, 3).answer, Ok(0));
}

#[test]
fn a_fault_without_a_frame_counts_calls_and_not_pages() {
    let fault = stage(Effect::Signal).after(1);
    let (rig, vcpu) = Rig::ready(Script::tdx(Profile::V7_1).with_fault(fault));
    assert_eq!(rig.stage(vcpu, 0, 4).answer, Ok(0));
    let staged = rig.stage(vcpu, 4, 4);
    let expected = Staged {
        answer: Err(Errno::EINTR),
        left: left(4, 4, 0),
    };
    assert_eq!(staged, expected);
}

#[test]
fn pages_whose_region_cannot_be_written_back_are_installed_all_the_same() {
    let (rig, vcpu) =
        Rig::ready(Script::tdx(Profile::V6_19).with_fault(stage(Effect::CopyBackFault)));
    let staged = rig.stage(vcpu, 0, 2);
    let expected = Staged {
        answer: Err(Errno::EFAULT),
        left: left(0, 2, 0),
    };
    assert_eq!(staged, expected);
    assert!(rig.stored(1).is_some());
}

#[test]
fn a_busy_module_can_be_asked_to_finish_again() {
    for profile in KERNELS {
        let fault = Fault::at(Call::TdxFinalizeVm, Effect::Busy).times(2);
        let (rig, _) = Rig::ready(Script::tdx(profile).with_fault(fault));
        for _ in 0..2 {
            let busy = (Err(Errno::EBUSY), 0x8000_0200_0000_0000);
            assert_eq!(rig.finalize(), busy, "{profile}");
        }
        assert_eq!(rig.finalize(), (Ok(0), 0), "{profile}");
        assert!(rig.process.violations().is_empty());
    }
}

#[test]
fn a_module_that_refuses_to_finish_ends_the_vm() {
    for profile in KERNELS {
        let fault = Fault::at(Call::TdxFinalizeVm, REFUSED);
        let (rig, vcpu) = Rig::ready(Script::tdx(profile).with_fault(fault));
        assert_eq!(rig.finalize(), (Err(Errno::EIO), STATUS), "{profile}");
        assert_eq!(rig.finalize(), (Err(Errno::EIO), 0), "{profile}");
        assert_eq!(rig.stage(vcpu, 0, 1).answer, Err(Errno::EIO), "{profile}");
        assert_eq!(rig.digest(), None);
    }
}

#[test]
fn a_latency_is_each_page_s() {
    let (rig, vcpu) =
        Rig::ready(Script::tdx(Profile::V6_18).with_fault(stage(Effect::Latency(1000))));
    assert_eq!(rig.stage(vcpu, 0, 5).answer, Ok(0));
    assert_eq!(rig.process.waited.get(), Duration::from_millis(5));
}

#[test]
fn a_script_names_what_happens_to_a_td_only() {
    for (json, is_known) in [
        (
            r#"{ "at": "KVM_TDX_INIT_MEM_REGION", "effect": { "module": 1 } }"#,
            true,
        ),
        (
            r#"{ "at": "KVM_TDX_INIT_MEM_REGION", "gfn": 3, "effect": { "module": 1, "in_extend": true } }"#,
            true,
        ),
        (
            r#"{ "at": "KVM_TDX_INIT_MEM_REGION", "effect": "busy" }"#,
            true,
        ),
        (
            r#"{ "at": "KVM_TDX_INIT_MEM_REGION", "effect": "vcpu_creation_race" }"#,
            true,
        ),
        (r#"{ "at": "KVM_TDX_INIT_VM", "effect": "no_hkid" }"#, true),
        (
            r#"{ "at": "KVM_TDX_INIT_VM", "effect": { "errno": 12 } }"#,
            true,
        ),
        (r#"{ "at": "KVM_TDX_INIT_VM", "effect": "no_asid" }"#, false),
        (
            r#"{ "at": "KVM_TDX_FINALIZE_VM", "effect": { "module": 1, "in_extend": true } }"#,
            false,
        ),
        (
            r#"{ "at": "KVM_TDX_INIT_MEM_REGION", "effect": { "module": 0 } }"#,
            false,
        ),
        (
            r#"{ "at": "KVM_TDX_INIT_MEM_REGION", "effect": { "firmware": 22 } }"#,
            false,
        ),
        (
            r#"{ "at": "KVM_SEV_SNP_LAUNCH_UPDATE", "effect": "busy" }"#,
            false,
        ),
        (
            r#"{ "at": "KVM_TDX_INIT_MEM_REGION", "gfn": 3, "effect": "vcpu_creation_race" }"#,
            false,
        ),
    ] {
        let script = format!(r#"{{ "profile": "6.19", "tdx": true, "faults": [{json}] }}"#);
        assert_eq!(Script::parse(&script).is_ok(), is_known, "{json}");
    }
}

/// An effect that an older kernel does not have would be one that never shows.
#[test]
fn a_vcpu_that_is_created_meanwhile_is_no_fault_of_a_kernel_that_does_not_mind() {
    for (call, kernels) in [
        ("KVM_TDX_INIT_MEM_REGION", &["6.19", "7.1"][..]),
        ("KVM_TDX_FINALIZE_VM", &["6.19", "7.1"]),
        ("KVM_SEV_SNP_LAUNCH_FINISH", &["7.1"]),
    ] {
        for profile in Profile::ALL {
            let fault = format!(r#"{{ "at": "{call}", "effect": "vcpu_creation_race" }}"#);
            let script = format!(r#"{{ "profile": "{profile}", "faults": [{fault}] }}"#);
            let is_known = kernels.contains(&profile.name());
            assert_eq!(Script::parse(&script).is_ok(), is_known, "{script}");
        }
    }
}
