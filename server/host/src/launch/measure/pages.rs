//! The digest of pages alone, by the rules of the platform's firmware.
//!
//! **Invariant:** one step for each page, in the order given.

use stagepages_digest::{self as digest, Value, snp::LaunchDigest, tdx::Mrtd};
use stagepages_kvm::{Gpa, PAGE_BYTES, PageType};

/// A running digest.
#[derive(Debug, Clone)]
pub(super) enum Pages {
    /// Of `sev-snp`, and of `sim`, which plays it.
    Snp(LaunchDigest),
    /// Of `tdx`.
    Tdx(Mrtd),
}

impl Pages {
    /// Adds one page, the next; `None` for zeros and for contents that do not count.
    pub(super) fn extend(
        &mut self,
        gpa: Gpa,
        page_type: PageType,
        contents: Option<&[u8; PAGE_BYTES]>,
    ) {
        let page_type = match page_type {
            PageType::Normal => digest::PageType::Normal,
            PageType::Zero => digest::PageType::Zero,
            PageType::Unmeasured => digest::PageType::Unmeasured,
            PageType::Secrets => digest::PageType::Secrets,
            PageType::Cpuid => digest::PageType::Cpuid,
        };
        match self {
            Self::Snp(digest) => digest.extend(gpa.get(), page_type, contents),
            Self::Tdx(mrtd) => mrtd.extend(gpa.get(), page_type, contents),
        }
    }

    /// What it would be if the launch were finished now, with vCPUs whose save areas have these hashes.
    pub(super) fn with_save_areas(&self, save_areas: &[Value]) -> Value {
        match self {
            Self::Snp(digest) => {
                let mut digest = *digest;
                save_areas
                    .iter()
                    .for_each(|hash| digest.extend_vmsa_hash(hash));
                digest.value()
            }
            Self::Tdx(mrtd) => mrtd.value(),
        }
    }
}
