//! Firmware refuses a page: every status of kernel.md, section 2.5.
//!
//! **Invariant:** a page that was alone and was taken back costs only its call; any other costs the launch.
use stagepages_kernel_model::{Call, Effect};
use stagepages_proto::v1::PageType;

use super::UPDATE;
use crate::faults::row::{
    Expect, FIRMWARE_REFUSED, FIRST, KERNEL_REFUSED, MIDDLE, Row, at, clean, done, firmware, over,
};

/// What the driver passes on, and `snp_launch_update()` writes back.
const STATUS: &str = "enum sev_ret_code, include/uapi/linux/psp-sev.h; sev_gmem_post_populate(), arch/x86/kvm/svm/sev.c";

const STATUSES: [(u64, &str); 15] = [
    (0x1, "INVALID_PLATFORM_STATE"),
    (0x2, "INVALID_GUEST_STATE"),
    (0x3, "INVALID_CONFIG"),
    (0x4, "INVALID_LEN"),
    (0x7, "POLICY_FAILURE"),
    (0x9, "INVALID_ADDRESS"),
    (0xa, "BAD_SIGNATURE"),
    (0xb, "BAD_MEASUREMENT"),
    (0x15, "UNSUPPORTED"),
    (0x16, "INVALID_PARAM"),
    (0x17, "RESOURCE_LIMIT"),
    (0x19, "INVALID_PAGE_SIZE"),
    (0x1a, "INVALID_PAGE_STATE"),
    (0x1b, "INVALID_MDATA_ENTRY"),
    (0x1c, "INVALID_PAGE_OWNER"),
];
/// -1: the driver has not called firmware, so that nothing was refused by it.
const NO_FW_CALL: u64 = 0xffff_ffff;

fn refused(expect: Expect, status: u64) -> Expect {
    expect.at(UPDATE).errno("EIO").firmware(status)
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = types();
    for (status, name) in STATUSES {
        let fault = |gfn| at(Call::SnpLaunchUpdate, gfn, firmware(status));
        rows.extend([
            Row::new(format!("firmware answers {name} to a page alone"), STATUS)
                .fault(fault(FIRST))
                .stage_one(
                    refused(clean(FIRMWARE_REFUSED), status)
                        .says(name)
                        .asked([Some((FIRST, 1))]),
                ),
            Row::new(format!("firmware answers {name} to the first page"), STATUS)
                .fault(fault(FIRST))
                .stage(
                    refused(over(FIRMWARE_REFUSED), status)
                        .says(name)
                        .asked([Some((FIRST, 8))]),
                ),
            Row::new(format!("firmware answers {name} to a later page"), STATUS)
                .fault(fault(MIDDLE).times(2))
                .stage(
                    refused(over(FIRMWARE_REFUSED), status)
                        .says(name)
                        .installed(3)
                        .asked([Some((FIRST, 8)), Some((MIDDLE, 5))]),
                ),
            // The kernel keeps the status of a short count to itself.
            Row::new(
                format!("firmware answers {name} to a later page, once"),
                STATUS,
            )
            .fault(fault(MIDDLE))
            .stage(
                done()
                    .installed(8)
                    .asked([Some((FIRST, 8)), Some((MIDDLE, 5))]),
            ),
        ]);
    }
    rows.push(
        Row::new("the driver has not called firmware", STATUS)
            .fault(at(Call::SnpLaunchUpdate, FIRST, firmware(NO_FW_CALL)))
            .stage_one(
                over(KERNEL_REFUSED)
                    .at(UPDATE)
                    .errno("EIO")
                    .asked([Some((FIRST, 1))]),
            ),
    );
    rows
}

/// Each type of page, alone.
fn types() -> Vec<Row> {
    let row = |page_type: PageType, effect: Effect| {
        let what = format!("firmware refuses a page of {}", page_type.as_str_name());
        Row::new(what, STATUS)
            .fault(at(Call::SnpLaunchUpdate, FIRST, effect))
            .stage_pages(
                page_type,
                1,
                refused(clean(FIRMWARE_REFUSED), 0x1a).asked([Some((FIRST, 1))]),
            )
    };
    [
        PageType::Normal,
        PageType::Zero,
        PageType::Unmeasured,
        PageType::Secrets,
        PageType::Cpuid,
    ]
    .map(|page_type| row(page_type, firmware(0x1a)))
    .into()
}
