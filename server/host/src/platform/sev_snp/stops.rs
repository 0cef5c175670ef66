//! What a refused SNP command means.
//!
//! Every failure of `kvm_gmem_populate()` is EIO to user space; only the firmware's status, where there is one, says more (`snp_launch_update()`,
//! arch/x86/kvm/svm/sev.c, Linux 6.11 to 7.1).
//!
//! **Invariant:** EIO without a status is never guessed to be a duplicate.

use stagepages_kvm::{FirmwareStatus, KvmError, Vm};

use crate::platform::{
    Stop,
    confidential::{DEAD, asks_again, is_dead},
};

/// INVALID_PARAM: with a CPUID page, that firmware would have it otherwise (kernel.md, section 2.5).
const CPUID_CORRECTED: u32 = 0x16;

/// What is known of EIO without a status.
const UNREPORTED: &str = "the kernel does not report the cause; it is no page of the ledger, no pending signal, no missing, unaligned or unreadable source and no page that is not private; it may be a page that exists all the same, poisoned or missing memory, or the secure processor";

/// What a failed LAUNCH_UPDATE at one page means. `submitted` is a CPUID page as it was before the call, `now` the source as it is after it.
pub(super) fn update_stop(
    error: KvmError,
    vm: &Vm,
    submitted: Option<Box<[u8]>>,
    now: &[u8],
) -> Stop {
    if is_dead(vm) {
        // Also behind a status: a page that could not be taken back is leaked, and the VM with it.
        return Stop::Kernel {
            error,
            known: DEAD.to_owned(),
        };
    }
    match error.firmware_status().map(FirmwareStatus::get) {
        Some(CPUID_CORRECTED) => match submitted.filter(|submitted| **submitted != *now) {
            Some(submitted) => Stop::CpuidRejected {
                error,
                submitted,
                corrected: now.into(),
            },
            None => Stop::Firmware(error),
        },
        Some(_) => Stop::Firmware(error),
        None => unreported(error),
    }
}

fn unreported(error: KvmError) -> Stop {
    use nix::errno::Errno;
    let is = |errno: Errno| error.errno() == Some(errno as i32);
    if asks_again(&error) {
        return Stop::Again(error);
    }
    let known = if is(Errno::EIO) {
        UNREPORTED
    } else if is(Errno::EFAULT) {
        "the kernel could not say how many pages it installed"
    } else {
        ""
    };
    Stop::Kernel {
        error,
        known: known.to_owned(),
    }
}

/// What a failed LAUNCH_FINISH means: the save areas may be measured already, so none is tried again.
pub(super) fn finish_stop(error: KvmError) -> Stop {
    match error.firmware_status() {
        Some(_) => Stop::Firmware(error),
        None => error.into(),
    }
}
