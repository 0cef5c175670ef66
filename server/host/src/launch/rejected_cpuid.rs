//! The CPUID page that firmware refused last.
//!
//! **Invariant:** what firmware would have is kept to be looked at, and never submitted by the host.

use std::fmt;

use stagepages_kvm::Gpa;

use crate::cpuid_page::{CpuidDifference, differences, headers_differ};

/// A refused page, and what firmware would have instead.
#[derive(Clone, PartialEq, Eq)]
pub struct RejectedCpuid {
    /// Its address.
    pub gpa: Gpa,
    /// As it was submitted, 4096 bytes.
    pub submitted: Box<[u8]>,
    /// As firmware would have it, 4096 bytes.
    pub corrected: Box<[u8]>,
}

impl RejectedCpuid {
    /// The entries that differ, in the page's order.
    #[must_use]
    pub fn differences(&self) -> Vec<CpuidDifference> {
        differences(&self.submitted, &self.corrected)
    }

    /// Where it differs, if in no entry.
    pub(super) fn beside_entries(&self) -> &'static str {
        if headers_differ(&self.submitted, &self.corrected) {
            "in its header"
        } else {
            "behind its entries"
        }
    }
}

impl fmt::Debug for RejectedCpuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RejectedCpuid({})", self.gpa)
    }
}
