//! What stops a page, and what is left of the VM then: the table of kernel.md section 3.3.

use stagepages_kernel_model::{Answer, Call, Effect, Errno, Fault, Profile, Script};

use crate::rig::{KERNELS, Rig, Staged, left};

/// To add the page.
pub(crate) const REFUSED: Effect = module(false);
/// To measure the page that was added.
pub(crate) const UNMEASURED: Effect = module(true);
/// What the module answers then.
pub(crate) const STATUS: u64 = 0xc000_0100_0000_0001;

const fn module(in_extend: bool) -> Effect {
    Effect::Module {
        status: STATUS,
        in_extend,
    }
}

/// A fault of INIT_MEM_REGION.
pub(crate) fn stage(effect: Effect) -> Fault {
    Fault::at(Call::TdxInitMemRegion, effect)
}

/// What becomes of the VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// The same region can be submitted again.
    Retry,
    /// The page exists for good, and the rest can be finished.
    Exists,
    /// The page exists for good, and nothing can be finished.
    Stuck,
    /// Every later call is EIO.
    Dead,
}

#[test]
fn the_table_of_causes() {
    use After::{Dead, Exists, Retry, Stuck};
    const IO: Answer = Err(Errno::EIO);
    let all = |errno, after| [(Err(errno), after); 3];
    for (effect, expected) in [
        (Effect::Signal, all(Errno::EINTR, Retry)),
        (
            Effect::Duplicate,
            [
                (Err(Errno::EEXIST), Exists),
                (Err(Errno::EEXIST), Exists),
                (IO, Exists),
            ],
        ),
        (Effect::NotPrivate, all(Errno::EINVAL, Retry)),
        (Effect::StopShort, all(Errno::EINVAL, Retry)),
        (Effect::SourceFault, all(Errno::EFAULT, Retry)),
        (Effect::NoMemory, all(Errno::ENOMEM, Retry)),
        (
            Effect::Busy,
            [(Err(Errno::EBUSY), Stuck), (Ok(0), Exists), (Ok(0), Exists)],
        ),
        (REFUSED, [(IO, Stuck), (IO, Dead), (IO, Dead)]),
        (UNMEASURED, [(IO, Exists), (IO, Dead), (IO, Dead)]),
        (Effect::Dead, all(Errno::EIO, Dead)),
    ] {
        for (profile, (answer, after)) in KERNELS.into_iter().zip(expected) {
            for done in [0, 2] {
                check(profile, effect, done, answer, after);
            }
        }
    }
}

/// The fault strikes after `done` of four pages.
fn check(profile: Profile, effect: Effect, done: u64, answer: Answer, after: After) {
    let what = format!("{profile} {effect:?} after {done}");
    let script = Script::tdx(profile).with_fault(stage(effect).on_gfn(done));
    let (rig, vcpu) = Rig::ready(script);
    let done = if answer.is_ok() { 4 } else { done };
    let staged = rig.stage(vcpu, 0, 4);
    assert_eq!(
        staged,
        Staged {
            answer,
            left: left(0, 4, done)
        },
        "{what}"
    );
    assert!(rig.process.violations().is_empty(), "{what}");
    let again = rig.stage(vcpu, done.min(3), 1).answer;
    let finished = rig.finalize().0;
    match after {
        After::Retry => assert_eq!((again, finished), (Ok(0), Ok(0)), "{what}"),
        After::Dead => assert_eq!(
            (again, finished),
            (Err(Errno::EIO), Err(Errno::EIO)),
            "{what}"
        ),
        After::Exists | After::Stuck => {
            let errno = if profile < Profile::V7_1 {
                Errno::EEXIST
            } else {
                Errno::EIO
            };
            assert_eq!(again, Err(errno), "{what}");
            let end = if after == After::Exists {
                Ok(0)
            } else {
                Err(Errno::EINVAL)
            };
            assert_eq!(finished, end, "{what}");
        }
    }
}
