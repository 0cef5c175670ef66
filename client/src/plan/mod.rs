//! A plan: what of an image is staged where and in which order, with what vCPUs and settings, and the digest it must end in.
//!
//! ```text
//! image ──crate::image──▶ Plan ──┬─ digest ──▶ what the launch must end in
//!                                ├─ check ───▶ findings: what would be refused, what is doubtful
//!                                └─ spec, extents, finish ──▶ CreateLaunch, StagePages…, FinishLaunch
//! ```
//!
//! **Invariant:** a plan is what will be staged, extent by extent, in this order; nothing about it is decided later.

mod check;
mod digest;
mod extent;
mod finding;
mod parts;
mod payload;
mod registers;
mod sweep;
#[cfg(test)]
mod test;
mod time;

use crate::{addr::Region, sev_snp::Policy, v1};

pub use check::Judgement;
pub use digest::measured;
pub use extent::{Contents, Extent, FileSlice};
pub use finding::{Finding, Severity};
pub use payload::Payload;
pub use registers::registers;
pub use sweep::{Swept, sweep};
pub use time::Estimate;

/// Memory regions that a daemon takes in one launch where nobody configured `max_regions`; GetNodeInfo tells how many it really takes.
pub const USUAL_REGIONS: usize = 64;
/// Memory regions that a daemon can be configured to take at most.
pub const MOST_REGIONS: usize = 1024;

/// What is staged, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// For which platform: `Sim` takes what `SevSnp` takes.
    pub platform: v1::Platform,
    /// What it was made from, for people: `OVMF with SEV metadata`.
    pub format: String,
    /// The guest's memory, by address, none overlapping another.
    pub memory: Vec<Region>,
    /// What is installed, in the order of installation.
    pub extents: Vec<Extent>,
    /// How each vCPU begins: one for each, in the order of their indices.
    pub vcpus: Vec<v1::VcpuState>,
    /// Settings, on `SevSnp`.
    pub sev_snp: Option<v1::SevSnpSettings>,
    /// Settings, on `Tdx`.
    pub tdx: Option<v1::TdxSettings>,
    /// What FinishLaunch is given: the image's own ID block, where it has one. On `SevSnp`.
    pub finish: Option<v1::SevSnpFinish>,
    /// What the image says that it ends in. Nothing holds it against the digest before [`Plan::unexpected`] does.
    pub expected_digest: Option<stagepages_digest::Value>,
    /// What its loader found worth saying.
    pub findings: Vec<Finding>,
}

impl Plan {
    /// All pages.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.extents.iter().map(Extent::pages).sum()
    }

    /// The guest policy that the launch will have on sev-snp, as firmware's number.
    #[must_use]
    pub fn guest_policy(&self) -> u64 {
        let given = self.sev_snp.as_ref().and_then(|it| it.guest_policy);
        given.map_or(Policy::DEFAULT, |policy| Policy::from(policy).number())
    }

    /// What CreateLaunch is given: calls are taken in order, so that the digest is the plan's.
    #[must_use]
    pub fn spec(&self) -> v1::LaunchSpec {
        v1::LaunchSpec {
            platform: self.platform.into(),
            regions: self.memory.iter().map(|&region| region.into()).collect(),
            ordering: v1::OrderingMode::Sequenced.into(),
            vcpus: u32::try_from(self.vcpus.len()).unwrap_or(u32::MAX),
            vcpu_states: self.vcpus.clone(),
            planned_pages: self.pages(),
            sev_snp: self.sev_snp.clone(),
            tdx: self.tdx.clone(),
            ..v1::LaunchSpec::default()
        }
    }
}
