//! The steps of the story, in their order; each asks, judges the answer, and says why it matters.
//!
//! **Invariant:** a step shows what came back only after it was found to be what the API promises.

mod birth;
mod end;
mod guest;
mod ledger;
mod race;
mod stops;
mod survival;

pub(super) use birth::{create, stage_image};
pub(super) use end::{abort, finish, too_late};
pub(super) use guest::guest;
pub(super) use ledger::{ledger, verify};
pub(super) use race::race;
pub(super) use stops::{other_bytes, same_bytes, short_count};
pub(super) use survival::survival;

use stagepages_client::v1::Platform;

/// What a platform is, in one breath.
pub(super) fn about(platform: Platform) -> &'static str {
    match platform {
        Platform::Kvm => {
            "kvm (a real VM with real guest_memfd; not encrypted, so not confidential)"
        }
        Platform::Sim => "sim (a model in memory with SEV-SNP's launch digest; not confidential)",
        Platform::SevSnp => "sev-snp",
        Platform::Tdx => "tdx",
        Platform::Unspecified => "unspecified",
    }
}
