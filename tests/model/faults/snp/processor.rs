//! The secure processor dies or is gone while pages are installed.
//!
//! The driver's errno never leaves `snp_launch_update()`, and without the processor no page can be taken back, so the VM is dead as well (kernel.md, sections 2.5 and 13).
//!
//! **Invariant:** nothing is asked of the VM's memory afterwards.
use stagepages_kernel_model::{Call, Effect};

use super::UPDATE;
use crate::faults::row::{Expect, FIRST, KERNEL_REFUSED, MIDDLE, Row, at, over};

const TIMEOUT: &str = "__sev_do_cmd_locked(), drivers/crypto/ccp/sev-dev.c";

pub(super) fn rows() -> Vec<Row> {
    let gone = || -> Expect { over(KERNEL_REFUSED).at(UPDATE).errno("EIO").says("dead") };
    let each = |what: &str, effect| {
        [
            Row::new(format!("{what} at a page alone"), TIMEOUT)
                .fault(at(Call::SnpLaunchUpdate, FIRST, effect))
                .stage_one(gone().asked([Some((FIRST, 1))])),
            Row::new(format!("{what} at the first page"), TIMEOUT)
                .fault(at(Call::SnpLaunchUpdate, FIRST, effect))
                .stage(gone().asked([Some((FIRST, 8))])),
            Row::new(format!("{what} at a later page"), TIMEOUT)
                .fault(at(Call::SnpLaunchUpdate, MIDDLE, effect))
                .stage(gone().installed(3).asked([Some((FIRST, 8)), None])),
        ]
    };
    let dead = each("the processor does not answer", Effect::PspDead);
    let gone = each("the processor is gone", Effect::PspGone);
    dead.into_iter().chain(gone).collect()
}
