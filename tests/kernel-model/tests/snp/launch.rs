//! An SNP launch from INIT2 to FINISH, under each kernel's rules (kernel.md section 2).

use crate::rig::{Rig, SOURCE, Updated};
use stagepages_kernel_model::snp::digest::LaunchDigest;
use stagepages_kernel_model::vcpu::Vcpu;
use stagepages_kernel_model::{Errno, Profile, Script, What, snp};

fn each(test: impl Fn(Profile)) {
    Profile::ALL.into_iter().for_each(test);
}

fn done(pages: u64) -> Updated {
    Updated {
        answer: Ok(0),
        error: 0,
        pages,
    }
}

fn refused(error: u32) -> Updated {
    Updated {
        answer: Err(Errno::EIO),
        error,
        pages: 0,
    }
}

#[test]
fn what_is_installed_is_stored_and_measured() {
    each(|profile| {
        let rig = Rig::started(Script::snp(profile));
        rig.put(SOURCE, &[&[0xaa; 4096], &[0xbb; 4096]]);
        assert_eq!(rig.update(0x10, 1, 2), done(2), "{profile}");
        assert_eq!(rig.update(0x14, 3, 1), done(1), "{profile}");
        rig.create_vcpu(0);
        assert_eq!(rig.finish(), (Ok(0), 0), "{profile}");
        assert_eq!(rig.stored(0), Some(vec![0xaa; 4096]));
        assert_eq!(rig.stored(1), Some(vec![0xbb; 4096]));
        assert_eq!(rig.stored(2), None);
        assert_eq!(rig.stored(4), Some(vec![0; 4096]));
        let mut digest = LaunchDigest::default();
        digest.extend(1, &[0xaa; 4096], 0x1_0000);
        digest.extend(1, &[0xbb; 4096], 0x1_1000);
        digest.extend(3, &[0; 4096], 0x1_4000);
        digest.extend(2, &snp::vmsa(&Vcpu::new(0), 1), 0xffff_ffff_f000);
        let expected: String = digest
            .bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let told = rig.process.told.borrow();
        let found = told
            .iter()
            .any(|what| matches!(what, What::Digest { digest, .. } if *digest == expected));
        assert!(found, "{profile}: {expected}");
        assert!(
            rig.process.violations().is_empty(),
            "{:?}",
            rig.process.violations()
        );
    });
}

#[test]
fn an_update_stops_at_the_end_of_its_memslot() {
    each(|profile| {
        let rig = Rig::started(Script::snp(profile));
        assert_eq!(rig.update(0x1e, 1, 4), done(2), "{profile}");
        assert_eq!(
            rig.update(0x20, 1, 1).answer,
            Err(Errno::EINVAL),
            "{profile}"
        );
    });
}

#[test]
fn a_length_of_zero_is_refused_from_6_18() {
    each(|profile| {
        let rig = Rig::started(Script::snp(profile));
        let answer = rig.update(0x10, 1, 0).answer;
        let expected = if profile < Profile::V6_18 {
            Ok(0)
        } else {
            Err(Errno::EINVAL)
        };
        assert_eq!(answer, expected, "{profile}");
        assert_eq!(rig.process.violations(), ["an update of no bytes"]);
    });
}

#[test]
fn an_unaligned_source_is_refused_from_7_0() {
    each(|profile| {
        let rig = Rig::started(Script::snp(profile));
        let answer = rig.update_from(SOURCE + 8, 0x10, 1, 4096).answer;
        let expected = if profile < Profile::V7_1 {
            Ok(0)
        } else {
            Err(Errno::EINVAL)
        };
        assert_eq!(answer, expected, "{profile}");
        assert_eq!(rig.process.violations(), ["the source is not page-aligned"]);
    });
}

#[test]
fn a_page_that_exists_is_eio_with_no_status_and_a_short_count_behind_others() {
    each(|profile| {
        let rig = Rig::started(Script::snp(profile));
        assert_eq!(rig.update(0x12, 1, 1), done(1));
        assert_eq!(rig.update(0x12, 1, 1), refused(0), "{profile}");
        assert_eq!(rig.update(0x10, 1, 4), done(2), "{profile}");
        let words = "GFN 0x12 is submitted again after it was installed";
        assert_eq!(rig.process.violations(), [words, words]);
    });
}

#[test]
fn commands_before_their_time_are_refused_as_the_kernel_does() {
    each(|profile| {
        let rig = Rig::new(Script::snp(profile));
        assert_eq!(rig.start(0x3_0000).0, Err(Errno::ENOTTY), "{profile}");
        assert_eq!(rig.finish().0, Err(Errno::ENOTTY), "{profile}");
        assert_eq!(
            rig.update(0x10, 1, 1).answer,
            Err(Errno::EINVAL),
            "{profile}"
        );
        assert_eq!(rig.init2(0, 0), (Ok(0), 0), "{profile}");
        assert_eq!(rig.init2(0, 0).0, Err(Errno::EPERM), "{profile}");
        assert_eq!(rig.finish().0, Err(Errno::EINVAL), "{profile}");
        assert_eq!(
            rig.update(0x10, 1, 1).answer,
            Err(Errno::EINVAL),
            "{profile}"
        );
    });
}

#[test]
fn init2_refuses_vcpus_and_what_it_does_not_support() {
    let rig = Rig::new(Script::snp(Profile::V6_18));
    for (features, ghcb_version) in [(1, 2), (1 << 40, 2), (0, 1), (0, 3)] {
        let answer = rig.init2(features, ghcb_version).0;
        assert_eq!(answer, Err(Errno::EINVAL), "{features:#x} {ghcb_version}");
    }
    rig.create_vcpu(0);
    assert_eq!(rig.init2(0, 2).0, Err(Errno::EINVAL));
}

#[test]
fn a_policy_is_judged_by_the_kernel_s_own_rules() {
    const SMT: u64 = 1 << 16;
    const MUST_BE_ONE: u64 = 1 << 17;
    const MIGRATION: u64 = 1 << 18;
    const SINGLE_SOCKET: u64 = 1 << 20;
    each(|profile| {
        let old = profile < Profile::V6_18;
        for (policy, refused) in [
            (SMT | MUST_BE_ONE, false),
            (SMT, true),
            (SMT | MUST_BE_ONE | MIGRATION, true),
            (MUST_BE_ONE, old),
            (SMT | MUST_BE_ONE | SINGLE_SOCKET, old),
        ] {
            let rig = Rig::new(Script::snp(profile));
            assert_eq!(rig.init2(0, 2).0, Ok(0));
            let expected = if refused { Err(Errno::EINVAL) } else { Ok(0) };
            assert_eq!(rig.start(policy).0, expected, "{profile} {policy:#x}");
        }
    });
}

#[test]
fn one_bad_start_spoils_the_vm_on_6_11_only() {
    each(|profile| {
        let rig = Rig::new(Script::snp(profile));
        assert_eq!(rig.init2(0, 2).0, Ok(0));
        assert_eq!(rig.start(0).0, Err(Errno::EINVAL));
        let spoilt = profile < Profile::V6_18;
        let expected = if spoilt { Err(Errno::EINVAL) } else { Ok(0) };
        assert_eq!(rig.start(0x3_0000).0, expected, "{profile}");
        // Firmware never started this guest: INVALID_GUEST_STATE.
        let expected = if spoilt { refused(2) } else { done(1) };
        assert_eq!(rig.update(0x10, 1, 1), expected, "{profile}");
    });
}

#[test]
fn a_second_finish_is_refused_and_pages_after_it_by_firmware() {
    each(|profile| {
        let rig = Rig::started(Script::snp(profile));
        rig.create_vcpu(0);
        assert_eq!(rig.finish(), (Ok(0), 0));
        let expected = if profile < Profile::V7_1 {
            (Err(Errno::EIO), 2)
        } else {
            (Err(Errno::EINVAL), 0)
        };
        assert_eq!(rig.finish(), expected, "{profile}");
        assert_eq!(rig.update(0x10, 1, 1), refused(2), "{profile}");
    });
}

#[test]
fn a_refused_cpuid_page_comes_back_corrected() {
    each(|profile| {
        let rig = Rig::started(Script::snp(profile));
        let mut table = [0; 4096];
        table[0] = 1;
        table[16] = 0xd;
        table[24] = 1;
        table[16 + 28..16 + 32].copy_from_slice(&0x988_u32.to_le_bytes());
        rig.put(SOURCE, &[&table]);
        assert_eq!(rig.update(0x10, 6, 1), refused(0x16), "{profile}");
        let corrected = rig.get::<4096>(SOURCE);
        assert_eq!(corrected[16 + 28..16 + 32], 0x240_u32.to_le_bytes());
        assert!(rig.process.violations().is_empty());
        rig.put(SOURCE, &[&table]);
        assert_eq!(rig.update(0x10, 6, 1), refused(0x16), "{profile}");
        let words = "a CPUID page that firmware refused is submitted again as it was";
        assert_eq!(rig.process.violations(), [words]);
        assert_eq!(rig.update(0x10, 6, 1), done(1), "{profile}");
    });
}

#[test]
fn registers_are_out_of_reach_once_they_are_measured() {
    const GET_REGS: u64 = 0x8090_ae81;
    const SET_REGS: u64 = 0x4090_ae82;
    let rig = Rig::started(Script::snp(Profile::V6_18));
    let vcpu = rig.create_vcpu(0);
    let ioctl = |request| rig.machine.ioctl(&rig.process, vcpu, request, SOURCE);
    assert_eq!(ioctl(GET_REGS), Ok(0));
    assert_eq!(ioctl(SET_REGS), Ok(0));
    assert_eq!(rig.finish(), (Ok(0), 0));
    assert_eq!(ioctl(GET_REGS), Err(Errno::EINVAL));
    assert_eq!(ioctl(SET_REGS), Err(Errno::EINVAL));
}

#[test]
fn outside_its_process_a_vm_is_eio() {
    let rig = Rig::started(Script::snp(Profile::V6_18));
    rig.process.pid.set(2);
    assert_eq!(rig.update(0x10, 1, 1).answer, Err(Errno::EIO));
}
