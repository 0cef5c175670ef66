//! Ending staging.

use super::{AbortCause, AbortReason, Aborted, Finished, Launch, Open, Reason, Refusal};
use crate::platform::Stop;

impl Open {
    /// Checks `expected` (empty for no check) against the launch digest, and only then asks the platform.
    pub(super) fn finish(mut self, expected: &[u8]) -> (Launch, Result<(), Refusal>) {
        if let Err(refusal) = self.check_digest(expected) {
            return (Launch::Open(self), Err(refusal));
        }
        match self.platform.finish(&self.books.vcpus) {
            Ok(()) => (
                Launch::Finished(Finished {
                    open: self,
                    expected: expected.to_vec(),
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

    fn check_digest(&self, expected: &[u8]) -> Result<(), Refusal> {
        if expected.is_empty() {
            return Ok(());
        }
        let kind = self.books.kind;
        let Some(actual) = self.books.digest() else {
            let message = format!(
                "expected_launch_digest: platform {kind} has no launch digest; leave the field unset"
            );
            return Err(Refusal::new(Reason::InvalidLaunch, message));
        };
        if expected.len() != actual.len() {
            let message = format!(
                "expected_launch_digest has {} bytes; a launch digest of platform {kind} has {}",
                expected.len(),
                actual.len()
            );
            return Err(Refusal::new(Reason::InvalidLaunch, message));
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

pub(super) fn refused(stop: Stop) -> Refusal {
    let over = "the launch is over, start a new one";
    match stop {
        Stop::Firmware { command, status } => {
            let mut refusal = Refusal::new(
                Reason::FirmwareRefused,
                format!("firmware refused {command} with status {status:#x}; {over}"),
            );
            refusal.firmware_status = Some(status);
            refusal
        }
        Stop::Kernel(error) | Stop::Again(error) => Refusal::new(
            Reason::KernelRefused,
            format!("{error}; the kernel does not report the cause; {over}"),
        )
        .kernel(&error),
        Stop::Stray(gfn) => Refusal::new(
            Reason::KernelRefused,
            format!("it stopped at GPA {}; {over}", gfn.gpa()),
        ),
        Stop::Source(error) => Refusal::new(Reason::KernelRefused, format!("{error}; {over}")),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
