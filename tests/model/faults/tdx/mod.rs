//! Faults of TDX.
//!
//! The kernel says what stopped a page, and how far it came before, in one answer (kernel.md, section 3.3). So what stops a later page is met there, and not once
//! more by asking for the rest.
//!
//! **Invariant:** where kernels differ, the row asks which one it is on. 6.11 has no TDX, and no rows.
mod create;
mod finish;
mod populate;
mod retried;
mod vcpus;

use stagepages_kernel_model::Profile;

use super::row::Row;

const REGION: &str = "KVM_TDX_INIT_MEM_REGION";

pub(super) fn rows(profile: Profile) -> Vec<Row> {
    let tables = [
        populate::rows(profile),
        retried::rows(profile),
        vcpus::rows(),
        create::rows(),
        finish::rows(profile),
    ];
    tables.into_iter().flatten().collect()
}
