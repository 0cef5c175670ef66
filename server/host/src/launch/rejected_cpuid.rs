//! The CPUID page that firmware refused last.
//!
//! **Invariant:** what firmware would have is kept to be looked at, and never submitted by the host.

use std::fmt;

use stagepages_kvm::Gpa;

use crate::cpuid_page::{CpuidDifference, differences};

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
}

impl fmt::Debug for RejectedCpuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RejectedCpuid({})", self.gpa)
    }
}
