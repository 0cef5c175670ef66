//! The digest that a plan must end in.

use std::io;

use stagepages_digest::{
    PageType, Value,
    snp::LaunchDigest,
    tdx::Mrtd,
    vmsa::{self, SNP_ACTIVE},
};

use super::{Finding, Plan, Severity, registers};
use crate::{
    hex::digits,
    v1::{self, Platform},
};

impl Plan {
    /// The launch digest of a launch that staged exactly this and was finished: on sev-snp and sim with the save area of each vCPU, on tdx MRTD; `None` on
    /// kvm, which measures nothing.
    ///
    /// # Errors
    /// A file of the plan could not be read, or a vCPU has a state that this platform does not take.
    pub fn digest(&self) -> io::Result<Option<Value>> {
        match self.platform {
            Platform::SevSnp | Platform::Sim => self.snp_digest().map(Some),
            Platform::Tdx => self.mrtd().map(Some),
            Platform::Kvm | Platform::Unspecified => Ok(None),
        }
    }

    /// What is to be said if the image says that it ends in another digest than this one, its plan's.
    #[must_use]
    pub fn unexpected(&self, digest: Option<Value>) -> Option<Finding> {
        let expected = self.expected_digest.filter(|it| Some(*it) != digest)?;
        let text = match digest {
            Some(digest) => format!(
                "the image says that it ends in {}, and as planned it ends in {}; give what the digest was made with, or correct it",
                digits(&expected),
                digits(&digest)
            ),
            None => format!(
                "the image says that it ends in {}, and on this platform nothing is measured; leave it out",
                digits(&expected)
            ),
        };
        Some(Finding::new(Severity::Error, "DIGEST_MISMATCH", text))
    }

    fn snp_digest(&self) -> io::Result<Value> {
        self.snp_vcpus(self.snp_pages()?)
    }

    /// The digest of all pages.
    pub(super) fn snp_pages(&self) -> io::Result<LaunchDigest> {
        let mut digest = LaunchDigest::new();
        for extent in &self.extents {
            let page_type = measured(extent.page_type())?;
            extent.each_page(|gpa, page| digest.extend(gpa.bytes(), page_type, page))?;
        }
        Ok(digest)
    }

    /// `digest`, which is that of all pages, with the vCPUs behind them.
    pub(super) fn snp_vcpus(&self, mut digest: LaunchDigest) -> io::Result<Value> {
        let features = self.sev_snp.as_ref().map_or(0, |it| it.vmsa_features) | SNP_ACTIVE;
        for state in &self.vcpus {
            let registers = registers(state).ok_or_else(|| {
                let text = format!("vCPU {} has no registers to be measured", state.index);
                io::Error::new(io::ErrorKind::InvalidInput, text)
            })?;
            digest.extend_vmsa(&vmsa::page(&registers, features));
        }
        Ok(digest.value())
    }

    fn mrtd(&self) -> io::Result<Value> {
        let mut mrtd = Mrtd::new();
        for extent in &self.extents {
            let page_type = measured(extent.page_type())?;
            extent.each_page(|gpa, page| mrtd.extend(gpa.bytes(), page_type, page))?;
        }
        Ok(mrtd.value())
    }
}

/// How pages of this type are measured.
///
/// # Errors
/// It is no page type.
pub fn measured(page_type: v1::PageType) -> io::Result<PageType> {
    match page_type {
        v1::PageType::Normal => Ok(PageType::Normal),
        v1::PageType::Zero => Ok(PageType::Zero),
        v1::PageType::Unmeasured => Ok(PageType::Unmeasured),
        v1::PageType::Secrets => Ok(PageType::Secrets),
        v1::PageType::Cpuid => Ok(PageType::Cpuid),
        v1::PageType::Unspecified => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a page of no type",
        )),
    }
}
