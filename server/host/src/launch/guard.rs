//! The guard at the end of staging: what the caller believes that was launched against what was.
//!
//! SNP's firmware compares an ID block behind the vCPUs, when nothing can be taken back, and neither it nor TDX's module compares anything with what a caller
//! expects. Here both are compared first, and a launch that is not what it should be goes on, or ends as its owner likes.
//!
//! **Invariant:** a digest that differs changes nothing, and the platform is asked for nothing.

use super::{Reason, Refusal, books::Books, measure::Measure};
use crate::settings::{FinishArgs, wrong};

/// Path of the digest that a caller expects.
const EXPECTED: &str = "expected_launch_digest";
/// Path of the ID block, whose first 48 bytes are a digest.
const ID_BLOCK: &str = "sev_snp.id_block";

impl Books {
    /// Whether the launch's platform takes such arguments at all.
    ///
    /// # Errors
    /// `InvalidLaunch` with the field.
    pub(super) fn check_finish(&self, args: &FinishArgs) -> Result<(), Refusal> {
        let kind = self.kind;
        let bytes = usize::try_from(kind.digest_bytes()).unwrap_or(0);
        let given = args.expected.len();
        if given != 0 && bytes == 0 {
            let text = format!("platform {kind} has no launch digest; leave the field unset");
            return Err(wrong(EXPECTED, &text));
        }
        if given != 0 && given != bytes {
            let text = format!("has {given} bytes; a launch digest of platform {kind} has {bytes}");
            return Err(wrong(EXPECTED, &text));
        }
        if args.snp.is_some() && !kind.takes_snp_finish() {
            let text = format!("is only for platform sev-snp, and this is {kind}; leave it unset");
            return Err(wrong("sev_snp", &text));
        }
        Ok(())
    }

    /// Whether the launch, which has settled, would end in the digests that `args` name.
    ///
    /// # Errors
    /// `DigestMismatch` with the field and the launch's own.
    pub(super) fn guard(&self, args: &FinishArgs) -> Result<(), Refusal> {
        let Some(actual) = self.measure.as_ref().map(Measure::expected) else {
            return Ok(());
        };
        let id_block = args.snp.as_ref().and_then(|snp| snp.id_block.as_ref());
        let named = [
            (EXPECTED, &*args.expected),
            (ID_BLOCK, id_block.map_or(&[], |id| id.launch_digest())),
        ];
        let differs = |(_, named): &(&str, &[u8])| !named.is_empty() && *named != actual.digest;
        let Some((field, named)) = named.into_iter().find(differs) else {
            return Ok(());
        };
        let message = format!(
            "{field} names launch digest {}, and the launch would end in {}; nothing was finished: ListInstalledPages in order of installation shows what is measured, vCPU states count on sev-snp and sim; finish with the right one, or abort the launch",
            hex(named),
            hex(&actual.digest)
        );
        Err(Refusal {
            actual_digest: Some(actual.digest),
            field: field.to_owned(),
            ..Refusal::new(Reason::DigestMismatch, message)
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
