//! Ending staging.

use super::{
    AbortCause, AbortReason, Aborted, Finished, Launch, Open, Reason, Refusal, judge::refused,
    measure::Died, retry::Retry,
};
use crate::{
    platform::{Finish, Platform, Stop},
    settings::FinishArgs,
};

impl Open {
    /// Checks the arguments, the digests among them, and only then asks the platform.
    pub(super) fn finish(mut self, args: &FinishArgs) -> (Launch, Result<(), Refusal>) {
        if let Err(died) = self.books.settle() {
            return self.ended(unmeasured(died));
        }
        let finish = Finish {
            vcpus: &self.books.vcpus,
            snp: args.snp.as_ref(),
        };
        let checked = self
            .books
            .check_finish(args)
            .and_then(|()| self.platform.check_finish(&finish))
            .and_then(|()| self.books.guard(args));
        if let Err(refusal) = checked {
            return (Launch::Open(self), Err(refusal));
        }
        match ask(self.platform.as_mut(), &finish) {
            Ok(()) => {
                if let Some(measure) = &mut self.books.measure {
                    measure.close();
                }
                let finished = Finished {
                    open: self,
                    args: args.clone(),
                };
                (Launch::Finished(finished), Ok(()))
            }
            Err(stop) => self.ended(refused(stop)),
        }
    }

    pub(super) fn ended(self, refusal: Refusal) -> (Launch, Result<(), Refusal>) {
        let cause = AbortCause {
            reason: AbortReason::PlatformRefused,
            message: refusal.message.clone(),
        };
        (Launch::Aborted(Aborted::bury(self, cause)), Err(refusal))
    }
}

/// What is said of a launch of which the digest will not be known.
pub(super) fn unmeasured(died: Died) -> Refusal {
    let text = format!("{died}; the launch is over, start a new one");
    Refusal::new(Reason::KernelRefused, text)
}

/// Has the platform end staging, and asks again as long as the kernel wants that, a bounded number of times.
fn ask(platform: &mut dyn Platform, finish: &Finish<'_>) -> Result<(), Stop> {
    let mut retry = Retry::default();
    loop {
        let stop = match platform.finish(finish) {
            Err(stop @ Stop::Again(_)) => stop,
            ended => return ended,
        };
        match retry.next() {
            Some(pause) => std::thread::sleep(pause),
            None => return Err(stop),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    };

    use stagepages_kvm::{Gfn, GfnRange, KvmError};

    use super::*;
    use crate::{
        launch::{Spent, State, StopFlag, tests::launch},
        platform::{Chunk, Contents, Installed, PlatformKind},
        vcpu::CpuModel,
    };

    /// A platform whose end is in the way of others so many times.
    #[derive(Debug)]
    struct Busy {
        left: u32,
        asked: Arc<AtomicU32>,
    }

    impl Platform for Busy {
        fn kind(&self) -> PlatformKind {
            PlatformKind::Tdx
        }

        fn install(&mut self, chunk: &Chunk<'_>) -> Installed<'_> {
            Installed {
                pages: chunk.range.pages(),
                contents: Contents::Unknown,
                stop: None,
                spent: Spent::default(),
            }
        }

        fn cpu(&self) -> CpuModel {
            CpuModel::generous()
        }

        fn finish(&mut self, _finish: &Finish<'_>) -> Result<(), Stop> {
            self.asked.fetch_add(1, Relaxed);
            match self.left.checked_sub(1) {
                None => Ok(()),
                Some(left) => {
                    self.left = left;
                    let errno = nix::errno::Errno::EBUSY as i32;
                    Err(Stop::Again(KvmError::from_errno(
                        "KVM_TDX_FINALIZE_VM",
                        errno,
                    )))
                }
            }
        }

        fn existing(&self, _range: GfnRange, _out: &mut [u8]) -> Result<(), KvmError> {
            Ok(())
        }

        fn page(&self, _gfn: Gfn) -> Option<&[u8]> {
            None
        }
    }

    fn finished(left: u32) -> (Launch, Result<(), Refusal>, u32) {
        let asked = Arc::new(AtomicU32::new(0));
        let busy = Busy {
            left,
            asked: Arc::clone(&asked),
        };
        let launch = launch(|_| Box::new(busy), StopFlag::default());
        let (launch, answer) = launch.finish(&FinishArgs::default());
        (launch, answer, asked.load(Relaxed))
    }

    #[test]
    fn a_busy_end_is_asked_again() {
        let (launch, answer, asked) = finished(3);
        assert_eq!((answer, asked), (Ok(()), 4));
        assert_eq!(launch.snapshot().state, State::Finished);
    }

    #[test]
    fn an_end_that_stays_busy_ends_the_launch_after_a_bounded_number_of_tries() {
        let (launch, answer, asked) = finished(u32::MAX);
        let refusal = answer.unwrap_err();
        assert_eq!((refusal.reason, asked), (Reason::KernelRefused, 11));
        assert_eq!(refusal.errno, Some(nix::errno::Errno::EBUSY as i32));
        assert!(refusal.message.contains("every retry"), "{refusal:?}");
        assert_eq!(launch.snapshot().state, State::Aborted);
    }
}
