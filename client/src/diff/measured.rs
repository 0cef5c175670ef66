//! Whose contents are in a launch digest. Types, addresses and the order of pages always count here: with them goes what a guest finds.
//!
//! **Invariant:** where a platform measures nothing, everything counts, so that a difference is never passed over.

use crate::v1::{PageType, Platform};

/// Whether the digest of `platform` covers what pages of this type hold: SNP's firmware hashes the contents of NORMAL pages alone (SNP firmware ABI,
/// SNP_LAUNCH_UPDATE), and the TDX module those that TDH.MR.EXTEND is called for. ZERO pages hold zeros by their type.
pub(super) fn covers_contents(platform: Platform, page_type: PageType) -> bool {
    match (platform, page_type) {
        (
            Platform::SevSnp | Platform::Sim,
            PageType::Unmeasured | PageType::Secrets | PageType::Cpuid,
        )
        | (Platform::Tdx, PageType::Unmeasured) => false,
        (
            Platform::SevSnp | Platform::Sim | Platform::Tdx,
            PageType::Normal | PageType::Zero | PageType::Unspecified,
        )
        | (Platform::Tdx, PageType::Secrets | PageType::Cpuid)
        | (Platform::Kvm | Platform::Unspecified, _) => true,
    }
}
