//! What a launch is made and finished with beyond memory and vCPUs, by platform: taken from messages, and held against what KVM takes.
//!
//! ```text
//!  protocol::SevSnp ──SnpSettings::new──▶ SnpSettings ──check(&SnpInfo)──▶ Ok, or InvalidLaunch with the field
//!  protocol::Tdx    ──TdxSettings::new──▶ TdxSettings ──choose(&TdxCapabilities)─▶ everything INIT_VM takes, or InvalidLaunch with the field
//!  protocol::Finish ──FinishArgs::new───▶ FinishArgs
//! ```
//!
//! **Invariant:** pure; nothing is created to find out what KVM takes.

mod finish;
pub(crate) mod policy;
mod snp;
mod tdx;

use crate::{
    launch::{Reason, Refusal},
    platform::SimScript,
};

pub use finish::{FinishArgs, IdBlock, SnpFinish};
pub use snp::{SnpInfo, SnpSettings};
pub use tdx::{CpuidEntry, TdxInfo, TdxSettings};

/// What the platform of a launch is made with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Settings {
    /// It has no settings, or the default of each.
    #[default]
    Default,
    /// Of `sim`.
    Sim(SimScript),
    /// Of `sev-snp`.
    SevSnp(SnpSettings),
    /// Of `tdx`.
    Tdx(TdxSettings),
}

/// The refusal of one field of the settings.
pub(crate) fn wrong(field: &str, text: &str) -> Refusal {
    Refusal {
        field: field.to_owned(),
        ..Refusal::new(Reason::InvalidLaunch, format!("{field}: {text}"))
    }
}

/// Bytes of a fixed length, zeros where none were given.
fn exactly<const N: usize>(field: &str, given: &[u8]) -> Result<[u8; N], Refusal> {
    if given.is_empty() {
        return Ok([0; N]);
    }
    given.try_into().map_err(|_length| {
        let text = format!("has {} bytes; give {N}, or none for zeros", given.len());
        wrong(field, &text)
    })
}
