//! Faults of SEV-SNP.
//!
//! The extent of a row is eight pages from [`FIRST`](super::row::FIRST) on, unless it says otherwise.
//!
//! **Invariant:** where kernels differ, the row asks which one it is on.
mod cpuid;
mod create;
mod finish;
mod firmware;
mod populate;
mod processor;
mod retried;

use stagepages_kernel_model::Profile;

use super::row::Row;

const UPDATE: &str = "KVM_SEV_SNP_LAUNCH_UPDATE";

pub(super) fn rows(profile: Profile) -> Vec<Row> {
    let tables = [
        populate::rows(profile),
        firmware::rows(),
        processor::rows(),
        retried::rows(),
        cpuid::rows(),
        create::rows(profile),
        finish::rows(profile),
    ];
    tables.into_iter().flatten().collect()
}
