//! Firmware would have a CPUID page otherwise.
//!
//! KVM copies the corrected page over the caller's source, and if the page was a later one of a call says nothing of it: so there is one such page in a call
//! (kernel.md, section 2.5).
//!
//! **Invariant:** what firmware corrected is told, and submitted again by nobody but the caller.
use stagepages_kernel_model::{Call, CpuidWant};
use stagepages_proto::v1::PageType;

use super::UPDATE;
use crate::faults::cpuid_table::{LEAVES, OTHER};
use crate::faults::row::{CPUID_REJECTED, FIRMWARE_REFUSED, FIRST, Row, at, clean, firmware};

const POST_POPULATE: &str = "sev_gmem_post_populate(), arch/x86/kvm/svm/sev.c";
/// What firmware answers to a table that it would have otherwise.
const INVALID_PARAM: u64 = 0x16;

pub(super) fn rows() -> Vec<Row> {
    let mut one = Row::new("firmware corrects one leaf", POST_POPULATE);
    one.script.cpuid_wants = vec![want(LEAVES[2])];
    let mut all = Row::new(
        "firmware corrects more leaves than a refusal names",
        POST_POPULATE,
    );
    all.script.cpuid_wants = LEAVES.map(want).into();
    let rejected = || {
        clean(CPUID_REJECTED)
            .at(UPDATE)
            .errno("EIO")
            .firmware(INVALID_PARAM)
            .asked([Some((FIRST, 1))])
    };
    let many = LEAVES.len() as u64;
    vec![
        one.stage_pages(PageType::Cpuid, 1, rejected().differences(1)),
        all.stage_pages(PageType::Cpuid, 1, rejected().differences(many)),
        // Nothing is corrected in secrets or in plain contents: there the same status is a refusal like others.
        Row::new(
            "the status of a corrected table, for secrets",
            POST_POPULATE,
        )
        .fault(at(Call::SnpLaunchUpdate, FIRST, firmware(INVALID_PARAM)))
        .stage_pages(
            PageType::Secrets,
            1,
            clean(FIRMWARE_REFUSED)
                .at(UPDATE)
                .errno("EIO")
                .firmware(INVALID_PARAM)
                .asked([Some((FIRST, 1))]),
        ),
    ]
}

fn want(leaf: u32) -> CpuidWant {
    CpuidWant {
        eax_in: leaf,
        ecx_in: 0,
        eax: None,
        ebx: Some(OTHER),
        ecx: None,
        edx: None,
    }
}
