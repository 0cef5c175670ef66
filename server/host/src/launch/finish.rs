//! Ending staging.

use super::{
    AbortCause, AbortReason, Aborted, Finished, Launch, Open, Reason, Refusal, judge::refused,
    retry::Retry,
};
use crate::{
    platform::{Finish, Platform, Stop},
    settings::{FinishArgs, wrong},
};

impl Open {
    /// Checks the arguments, the digest among them, and only then asks the platform.
    pub(super) fn finish(mut self, args: &FinishArgs) -> (Launch, Result<(), Refusal>) {
        let finish = Finish {
            vcpus: &self.books.vcpus,
            snp: args.snp.as_ref(),
        };
        let checked = self
            .check_digest(&args.expected)
            .and_then(|()| self.check_snp(args))
            .and_then(|()| self.platform.check_finish(&finish));
        if let Err(refusal) = checked {
            return (Launch::Open(self), Err(refusal));
        }
        match ask(self.platform.as_mut(), &finish) {
            Ok(()) => (
                Launch::Finished(Finished {
                    open: self,
                    args: args.clone(),
                }),
                Ok(()),
            ),
            Err(stop) => {
                let refusal = refused(stop);
                let cause = AbortCause {
                    reason: AbortReason::PlatformRefused,
                    message: refusal.message.clone(),
                };
                (Launch::Aborted(Aborted::bury(self, cause)), Err(refusal))
            }
        }
    }

    fn check_snp(&self, args: &FinishArgs) -> Result<(), Refusal> {
        let kind = self.books.kind;
        if args.snp.is_none() || kind.takes_snp_finish() {
            return Ok(());
        }
        let text = format!("is only for platform sev-snp, and this is {kind}; leave it unset");
        Err(wrong("sev_snp", &text))
    }

    fn check_digest(&self, expected: &[u8]) -> Result<(), Refusal> {
        const FIELD: &str = "expected_launch_digest";
        if expected.is_empty() {
            return Ok(());
        }
        let kind = self.books.kind;
        let Some(actual) = self.books.digest() else {
            let text = format!("platform {kind} has no launch digest; leave the field unset");
            return Err(wrong(FIELD, &text));
        };
        if expected.len() != actual.len() {
            let text = format!(
                "has {} bytes; a launch digest of platform {kind} has {}",
                expected.len(),
                actual.len()
            );
            return Err(wrong(FIELD, &text));
        }
        if expected != actual {
            let message = format!(
                "the launch digest is {}, not the expected {}; nothing was finished: ListInstalledPages in order of installation shows what was measured",
                hex(&actual),
                hex(expected)
            );
            return Err(Refusal {
                actual_digest: Some(actual),
                ..Refusal::new(Reason::DigestMismatch, message)
            });
        }
        Ok(())
    }
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
        launch::{State, StopFlag, tests::launch},
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
