//! INIT_MEM_REGION without faults: what is refused at once, and in which order a page is looked at (kernel.md sections 1.1 and 3.3).

use stagepages_kernel_model::{Answer, Errno, Profile, Script};

use crate::process::BASE;
use crate::rig::{Init, KERNELS, PAGE, PAGES, Rig, SOURCE, Staged, address_width, left};

const SHARED_48: u64 = 1 << 47;

/// Beyond all memory of the process.
const UNMAPPED: u64 = BASE + 0x4_0000;

#[test]
fn a_region_that_is_none_is_refused_and_not_written_back() {
    for profile in KERNELS {
        for (region, flags) in [
            ([SOURCE + 1, 0, 1], 1),
            ([SOURCE, 1, 1], 1),
            ([SOURCE, 0, 0], 1),
            ([SOURCE, 0, u64::MAX / PAGE + 1], 1),
            ([SOURCE, 2 * PAGE, u64::MAX / PAGE], 1),
            ([SOURCE, SHARED_48, 1], 1),
            ([SOURCE, SHARED_48 - PAGE, 2], 1),
            ([SOURCE, 0, 1], 2),
        ] {
            let (rig, vcpu) = Rig::ready(Script::tdx(profile));
            let staged = rig.stage_with(vcpu, region, flags);
            let expected = Staged {
                answer: Err(Errno::EINVAL),
                left: region,
            };
            assert_eq!(staged, expected, "{profile} {region:x?} {flags}");
            assert_eq!(rig.stored(0), None);
        }
    }
}

#[test]
fn the_private_half_is_as_wide_as_init_vm_said() {
    let answer = |bits| {
        let rig = Rig::new(Script::tdx(Profile::V6_18));
        let cpuid = vec![address_width(bits)];
        let init = Init {
            cpuid,
            ..Init::default()
        };
        assert_eq!(rig.init_vm(&init).0, Ok(0));
        assert_eq!(rig.split_irqchip(), Ok(0));
        let vcpu = rig.create_vcpu(0).unwrap();
        rig.set_features(vcpu, 1 << 21);
        assert_eq!(rig.init_vcpu(vcpu), Ok(0));
        rig.stage_with(vcpu, [SOURCE, SHARED_48, 1], 1);
        // Written back means found valid: there is no memslot up there.
        let told = rig.process.told.borrow();
        let Some(stagepages_kernel_model::What::End(note)) = told.last() else {
            panic!("{told:?}");
        };
        note.pages_done
    };
    assert_eq!(answer(48), None);
    assert_eq!(answer(52), Some(0));
}

#[test]
fn the_end_of_the_memslot_is_einval_at_the_page_beyond_it() {
    for profile in KERNELS {
        let (rig, vcpu) = Rig::ready(Script::tdx(profile));
        let staged = rig.stage(vcpu, PAGES - 2, 4);
        let expected = Staged {
            answer: Err(Errno::EINVAL),
            left: left(PAGES - 2, 4, 2),
        };
        assert_eq!(staged, expected, "{profile}");
    }
}

#[test]
fn a_page_that_exists_is_eexist_until_6_19_and_eio_then() {
    for (profile, errno) in [
        (Profile::V6_18, Errno::EEXIST),
        (Profile::V6_19, Errno::EEXIST),
        (Profile::V7_1, Errno::EIO),
    ] {
        let (rig, vcpu) = Rig::ready(Script::tdx(profile));
        assert_eq!(rig.stage(vcpu, 2, 1).answer, Ok(0));
        let staged = rig.stage(vcpu, 0, 4);
        let expected = Staged {
            answer: Err(errno),
            left: left(0, 4, 2),
        };
        assert_eq!(staged, expected, "{profile}");
        assert_eq!(
            rig.process.violations(),
            ["GFN 0x2 is submitted again after it was installed"]
        );
        // The VM lives on, and the duplicate was not measured.
        assert_eq!(rig.finalize(), (Ok(0), 0), "{profile}");
        let (other, vcpu) = Rig::ready(Script::tdx(profile));
        assert_eq!(other.stage(vcpu, 2, 1).answer, Ok(0));
        assert_eq!(other.stage(vcpu, 0, 2).answer, Ok(0));
        assert_eq!(other.finalize(), (Ok(0), 0));
        assert_eq!(rig.digest(), other.digest(), "{profile}");
    }
}

/// Where two things are wrong with a page, the answer says which was looked at first.
#[test]
fn a_page_is_looked_at_in_the_kernel_s_order() {
    type Case = (&'static str, fn(&Rig), u64, [Errno; 3]);
    let cases: [Case; 4] = [
        (
            "shared",
            |rig| rig.set_private(0, 1, false),
            SOURCE,
            [Errno::EEXIST, Errno::EEXIST, Errno::EINVAL],
        ),
        (
            "unmapped source",
            |_| {},
            UNMAPPED,
            [Errno::EEXIST, Errno::EEXIST, Errno::EFAULT],
        ),
        (
            "shared, unmapped source",
            |rig| rig.set_private(0, 1, false),
            UNMAPPED,
            [Errno::EEXIST, Errno::EEXIST, Errno::EFAULT],
        ),
        (
            "no source",
            |_| {},
            0,
            [Errno::EEXIST, Errno::EEXIST, Errno::EOPNOTSUPP],
        ),
    ];
    for (what, spoil, source, expected) in cases {
        for (profile, errno) in KERNELS.into_iter().zip(expected) {
            let (rig, vcpu) = Rig::ready(Script::tdx(profile));
            assert_eq!(rig.stage(vcpu, 0, 1).answer, Ok(0));
            spoil(&rig);
            let staged = rig.stage_with(vcpu, [source, 0, 1], 1);
            assert_eq!(staged.answer, Err(errno), "{profile}: installed and {what}");
        }
    }
}

#[test]
fn a_source_is_fetched_or_the_call_says_why_not() {
    let refused: [(&str, u64, [Answer; 3]); 3] = [
        ("unmapped", UNMAPPED, [Err(Errno::EFAULT); 3]),
        (
            "NULL",
            0,
            [
                Err(Errno::EFAULT),
                Err(Errno::EFAULT),
                Err(Errno::EOPNOTSUPP),
            ],
        ),
        ("half mapped", UNMAPPED - PAGE, [Ok(0); 3]),
    ];
    for (what, source, expected) in refused {
        for (profile, answer) in KERNELS.into_iter().zip(expected) {
            let (rig, vcpu) = Rig::ready(Script::tdx(profile));
            let staged = rig.stage_with(vcpu, [source, 0, 1], 1);
            assert_eq!(staged.answer, answer, "{profile}: {what}");
        }
    }
    let (rig, vcpu) = Rig::ready(Script::tdx(Profile::V7_1));
    let staged = rig.stage_with(vcpu, [UNMAPPED - PAGE, 0, 2], 1);
    let expected = Staged {
        answer: Err(Errno::EFAULT),
        left: [UNMAPPED, PAGE, 1],
    };
    assert_eq!(staged, expected);
}

#[test]
fn an_unreadable_region_is_efault() {
    let (rig, vcpu) = Rig::ready(Script::tdx(Profile::V6_18));
    let command = crate::rig::Command {
        id: crate::rig::INIT_MEM_REGION,
        flags: 0,
        data: UNMAPPED,
        hw_error: 0,
    };
    assert_eq!(rig.command(vcpu, command).0, Err(Errno::EFAULT));
}
