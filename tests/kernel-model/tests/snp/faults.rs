//! Every fault of an SNP launch: what the kernel shows of it, and what it leaves behind (kernel.md sections 2.4 to 2.6 and 13).

use std::time::Duration;

use crate::rig::{Rig, Updated};
use stagepages_kernel_model::{Answer, Call, Effect, Errno, Fault, Profile, Script, What};

const FIRMWARE: Effect = Effect::Firmware {
    status: 0x1a,
    reclaim_fails: false,
};

fn update(effect: Effect) -> Fault {
    Fault::at(Call::SnpLaunchUpdate, effect)
}

fn outcome(answer: Answer, error: u32, pages: u64) -> Updated {
    Updated {
        answer,
        error,
        pages,
    }
}

/// Whatever stops the first page is EIO; only firmware's refusals have a status. Later pages only shorten the count.
#[test]
fn what_stops_a_page_is_eio_first_and_a_short_count_later() {
    for profile in Profile::ALL {
        for (effect, error, retry) in [
            (Effect::Duplicate, 0, false),
            (Effect::Poisoned, 0, false),
            (Effect::NotPrivate, 0, true),
            (Effect::SourceFault, 0, true),
            (Effect::Signal, 0, true),
            (Effect::NoMemory, 0, true),
            (FIRMWARE, 0x1a, true),
        ] {
            let script = Script::snp(profile).with_fault(update(effect));
            let rig = Rig::started(script);
            let stopped = outcome(Err(Errno::EIO), error, 0);
            assert_eq!(rig.update(0x10, 1, 4), stopped, "{profile} {effect:?}");
            let again = if retry {
                outcome(Ok(0), 0, 4)
            } else {
                outcome(Err(Errno::EIO), 0, 0)
            };
            assert_eq!(rig.update(0x10, 1, 4), again, "{profile} {effect:?} again");

            let script = Script::snp(profile).with_fault(update(effect).on_gfn(0x12));
            let rig = Rig::started(script);
            assert_eq!(
                rig.update(0x10, 1, 4),
                outcome(Ok(0), 0, 2),
                "{profile} {effect:?} later"
            );
            assert_eq!(rig.stored(2), None, "{profile} {effect:?}");
            assert!(rig.process.violations().is_empty());
        }
    }
}

#[test]
fn a_dead_vm_answers_eio_to_everything() {
    for profile in Profile::ALL {
        for (effect, error) in [
            (Effect::Dead, 0),
            (Effect::PspDead, 0),
            (Effect::PspGone, 0),
            (
                Effect::Firmware {
                    status: 0x1c,
                    reclaim_fails: true,
                },
                0x1c,
            ),
        ] {
            let rig = Rig::started(Script::snp(profile).with_fault(update(effect)));
            let stopped = outcome(Err(Errno::EIO), error, 0);
            assert_eq!(rig.update(0x10, 1, 1), stopped, "{profile} {effect:?}");
            assert_eq!(
                rig.ioctl(0xae03, 235),
                Err(Errno::EIO),
                "{profile} {effect:?}"
            );
            assert_eq!(rig.finish().0, Err(Errno::EIO), "{profile} {effect:?}");
        }
    }
}

#[test]
fn an_errno_strikes_before_anything_happens() {
    let fault = update(Effect::Errno(libc::EAGAIN)).after(1).times(2);
    let rig = Rig::started(Script::snp(Profile::V6_18).with_fault(fault));
    assert_eq!(rig.update(0x10, 1, 1), outcome(Ok(0), 0, 1));
    for _ in 0..2 {
        assert_eq!(rig.update(0x11, 1, 1), outcome(Err(Errno::EAGAIN), 0, 0));
    }
    assert_eq!(rig.update(0x11, 1, 1), outcome(Ok(0), 0, 1));
}

#[test]
fn a_loop_that_stops_short_says_so_in_its_parameters_only() {
    let fault = update(Effect::StopShort).on_gfn(0x13);
    let rig = Rig::started(Script::snp(Profile::V6_18).with_fault(fault));
    assert_eq!(rig.update(0x10, 1, 8), outcome(Ok(0), 0, 3));
    assert_eq!(rig.update(0x13, 1, 5), outcome(Ok(0), 0, 5));
}

#[test]
fn pages_whose_count_cannot_be_written_back_are_measured_all_the_same() {
    let rig = Rig::started(Script::snp(Profile::V7_1).with_fault(update(Effect::CopyBackFault)));
    assert_eq!(rig.update(0x10, 1, 2), outcome(Err(Errno::EFAULT), 0, 0));
    assert!(rig.stored(1).is_some());
}

#[test]
fn starting_fails_as_each_step_of_it_does() {
    for (effect, expected, again) in [
        (Effect::ContextCreation, (Err(Errno::ENOTTY), 1), (Ok(0), 0)),
        (FIRMWARE, (Err(Errno::EIO), 0x1a), (Ok(0), 0)),
        (
            Effect::Errno(libc::EBUSY),
            (Err(Errno::EBUSY), 0),
            (Ok(0), 0),
        ),
        (
            Effect::PspDead,
            (Err(Errno(libc::ETIMEDOUT)), 0),
            (Err(Errno::ENOTTY), 0),
        ),
        (
            Effect::PspGone,
            (Err(Errno::ENODEV), 0),
            (Err(Errno::ENOTTY), 0),
        ),
    ] {
        let fault = Fault::at(Call::SnpLaunchStart, effect);
        let rig = Rig::new(Script::snp(Profile::V6_19).with_fault(fault));
        assert_eq!(rig.init2(0, 2).0, Ok(0));
        assert_eq!(rig.start(0x3_0000), expected, "{effect:?}");
        assert_eq!(rig.start(0x3_0000), again, "{effect:?} again");
    }
}

#[test]
fn without_an_asid_there_is_no_guest() {
    let fault = Fault::at(Call::SevInit2, Effect::NoAsid);
    let rig = Rig::new(Script::snp(Profile::V6_18).with_fault(fault));
    assert_eq!(rig.init2(0, 2).0, Err(Errno::EBUSY));
    assert_eq!(rig.init2(0, 2).0, Ok(0));
}

#[test]
fn a_finish_that_firmware_refuses_has_measured_the_vcpus() {
    for profile in Profile::ALL {
        let fault = Fault::at(Call::SnpLaunchFinish, FIRMWARE);
        let rig = Rig::started(Script::snp(profile).with_fault(fault));
        rig.create_vcpu(0);
        assert_eq!(rig.finish(), (Err(Errno::EIO), 0x1a), "{profile}");
        assert!(rig.process.violations().is_empty());
        let expected = if profile < Profile::V7_1 {
            (Err(Errno::EIO), 2)
        } else {
            (Err(Errno::EINVAL), 0)
        };
        assert_eq!(rig.finish(), expected, "{profile}");
        assert_eq!(rig.process.violations().len(), 1);
    }
}

/// From 7.1 on the finish takes the locks of all vCPUs first, so that nothing is measured where it cannot have them.
#[test]
fn a_vcpu_that_is_created_meanwhile_keeps_7_1_from_finishing_for_once() {
    let measured = |rig: &Rig| {
        let told = rig.process.told.borrow();
        told.iter().find_map(|what| match what {
            What::Digest { digest, .. } => Some(digest.clone()),
            What::Begin(_)
            | What::End(_)
            | What::Open { .. }
            | What::Fd(_)
            | What::Fault(_)
            | What::Violation { .. } => None,
        })
    };
    let calm = Rig::started(Script::snp(Profile::V7_1));
    calm.create_vcpu(0);
    assert_eq!(calm.finish(), (Ok(0), 0));
    let race = Fault::at(Call::SnpLaunchFinish, Effect::VcpuCreationRace);
    let rig = Rig::started(Script::snp(Profile::V7_1).with_fault(race));
    rig.create_vcpu(0);
    assert_eq!(rig.finish(), (Err(Errno::EBUSY), 0));
    assert_eq!(measured(&rig), None);
    assert_eq!(rig.finish(), (Ok(0), 0));
    assert!(measured(&calm).is_some());
    assert_eq!(measured(&rig), measured(&calm));
    assert!(rig.process.violations().is_empty());
}

#[test]
fn what_firmware_says_of_the_platform_is_told_at_init2() {
    for profile in Profile::ALL {
        let fault = Fault::at(Call::SevInit2, FIRMWARE);
        let rig = Rig::new(Script::snp(profile).with_fault(fault));
        assert_eq!(rig.init2(0, 2), (Err(Errno::EIO), 0x1a), "{profile}");
        assert_eq!(rig.init2(0, 2), (Ok(0), 0), "{profile}");
    }
}

#[test]
fn a_latency_is_each_page_s() {
    let rig = Rig::started(Script::snp(Profile::V6_18).with_fault(update(Effect::Latency(1000))));
    assert_eq!(rig.update(0x10, 1, 5).pages, 5);
    assert_eq!(rig.process.waited.get(), Duration::from_millis(5));
}

#[test]
fn what_struck_is_in_the_trace() {
    let rig = Rig::started(Script::snp(Profile::V6_18).with_fault(update(Effect::Signal)));
    rig.update(0x10, 1, 1);
    let told = rig.process.told.borrow();
    let strikes: Vec<_> = told
        .iter()
        .filter(|what| matches!(what, What::Fault(_)))
        .collect();
    let [What::Fault(struck)] = strikes[..] else {
        panic!("{strikes:?}");
    };
    assert_eq!((struck.gfn, struck.effect), (Some(0x10), Effect::Signal));
}
