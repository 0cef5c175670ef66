//! The kernel asks to try again, or refuses the call as a whole.
//!
//! No kernel read so far says EAGAIN, EBUSY or EINTR to LAUNCH_UPDATE, but its documentation does (kernel.md, section 2.5): nothing was looked at then.
//!
//! **Invariant:** a launch host tries again a bounded number of times, and any other errno not at all.
use stagepages_kernel_model::{Call, Effect, Fault};

use super::UPDATE;
use crate::faults::row::{FIRST, FOR_EVER, KERNEL_REFUSED, Row, done, over};

const DOCUMENTED: &str =
    "Documentation/virt/kvm/x86/amd-memory-encryption.rst, KVM_SEV_SNP_LAUNCH_UPDATE";
const LAUNCH_UPDATE: &str = "snp_launch_update(), arch/x86/kvm/svm/sev.c";
const DISPATCH: &str = "sev_mem_enc_ioctl(), arch/x86/kvm/svm/sev.c";

pub(super) fn rows() -> Vec<Row> {
    let fault = |errno| Fault::at(Call::SnpLaunchUpdate, Effect::Errno(errno)).after(1);
    let mut rows = Vec::new();
    for (errno, name) in [(4, "EINTR"), (11, "EAGAIN"), (16, "EBUSY")] {
        let whole = Some((FIRST, 8));
        rows.extend([
            Row::new(format!("{name}, once"), DOCUMENTED)
                .fault(fault(errno))
                .stage(done().installed(8).asked([None, whole])),
            Row::new(format!("{name}, four times"), DOCUMENTED)
                .fault(fault(errno).times(4))
                .stage(done().installed(8).asked([None, None, None, None, whole])),
            Row::new(format!("{name}, for ever"), DOCUMENTED)
                .fault(fault(errno).times(FOR_EVER))
                .stage(
                    over(KERNEL_REFUSED)
                        .at(UPDATE)
                        .errno(name)
                        .asked_again([None]),
                ),
        ]);
    }
    for (errno, name, source) in [
        (22, "EINVAL", LAUNCH_UPDATE),
        (14, "EFAULT", LAUNCH_UPDATE),
        (25, "ENOTTY", DISPATCH),
        (1, "EPERM", DISPATCH),
    ] {
        rows.push(
            Row::new(format!("{name} to the call as a whole"), source)
                .fault(fault(errno))
                .stage(over(KERNEL_REFUSED).at(UPDATE).errno(name).asked([None])),
        );
    }
    rows
}
