//! Ending staging.

use super::{
    AbortCause, AbortReason, Aborted, Finished, Launch, Open, Reason, Refusal, judge::refused,
};
use crate::{
    platform::Finish,
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
        match self.platform.finish(&finish) {
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
