//! What a refused SNP command means.
//!
//! Every failure of `kvm_gmem_populate()` is EIO to user space; only the firmware's status, where there is one, says more (`snp_launch_update()`,
//! arch/x86/kvm/svm/sev.c, Linux 6.11 to 7.1).
//!
//! **Invariant:** EIO without a status is never guessed to be a duplicate; a write-back that cannot be is in doubt whatever came with it.

use nix::errno::Errno;
use stagepages_kvm::{FirmwareStatus, KvmError};

use crate::platform::{
    Stop,
    confidential::{DEAD, asks_again},
};

/// What is known of EIO without a status. The launch thread blocks signals, but a stop, a tracer and the freezers make `signal_pending()` true
/// whatever is blocked (`recalc_sigpending_tsk()`, kernel/signal.c; `freeze_task()`, kernel/freezer.c).
const UNREPORTED: &str = "the kernel does not report the cause; it is no page of the ledger, no signal that can be blocked, no missing, unaligned or unreadable source and no page that is not private; it may be a page that exists all the same, poisoned or missing memory, a pause of this host (freezer, SIGSTOP, debugger), or the secure processor";

/// What a failed LAUNCH_UPDATE at one page means. `submitted` is a CPUID page as it was before the call, `now` the source as it is after it.
/// `is_dead` tells whether KVM has given the VM up.
pub(super) fn update_stop(
    error: KvmError,
    is_dead: impl FnOnce() -> bool,
    submitted: Option<Box<[u8]>>,
    now: &[u8],
) -> Stop {
    if is_dead() {
        // Also behind a status: a page that could not be taken back is leaked, and the VM with it.
        return Stop::known(error, DEAD);
    }
    if matches!(error, KvmError::WroteBack { .. }) {
        // Also around a status: it is not known then about which page, nor whether that was taken back.
        return Stop::known(error, "");
    }
    match error.firmware_status() {
        // With a CPUID page, that firmware would have it otherwise (kernel.md, section 2.5).
        Some(FirmwareStatus::INVALID_PARAM) => {
            match submitted.filter(|submitted| **submitted != *now) {
                Some(submitted) => Stop::CpuidRejected {
                    error,
                    submitted,
                    corrected: now.into(),
                },
                None => Stop::Firmware(error),
            }
        }
        Some(_) => Stop::Firmware(error),
        None => unreported(error),
    }
}

fn unreported(error: KvmError) -> Stop {
    if asks_again(&error) {
        return Stop::Again(error);
    }
    let words = match error.errno().map(Errno::from_raw) {
        Some(Errno::EIO) => UNREPORTED,
        Some(Errno::EFAULT) => "the kernel could not say how many pages it installed",
        Some(_) | None => "",
    };
    Stop::known(error, words)
}

/// What a failed LAUNCH_FINISH means: the save areas may be measured already, so none is tried again.
pub(super) fn finish_stop(error: KvmError) -> Stop {
    match error.firmware_status() {
        Some(_) => Stop::Firmware(error),
        None => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OP: &str = "KVM_SEV_SNP_LAUNCH_UPDATE";

    fn error(errno: Errno) -> KvmError {
        KvmError::from_errno(OP, errno as i32)
    }

    fn firmware(status: u32) -> KvmError {
        KvmError::Firmware {
            op: OP,
            status: FirmwareStatus::new(status),
            os: Errno::EIO.into(),
        }
    }

    fn wrote_back(cause: KvmError) -> KvmError {
        KvmError::WroteBack {
            op: OP,
            field: "len",
            value: 1,
            cause: Some(Box::new(cause)),
        }
    }

    fn page(first: u8) -> Box<[u8]> {
        let mut page = vec![0; 4096];
        page[0] = first;
        page.into()
    }

    fn stop(error: KvmError) -> Stop {
        update_stop(error, || false, None, &page(0))
    }

    /// What a stop says beyond its error; `None` if it is another than `Kernel`.
    fn words(stop: Stop) -> Option<String> {
        match stop {
            Stop::Kernel { known, .. } => Some(known),
            Stop::Again(_)
            | Stop::Firmware(_)
            | Stop::CpuidRejected { .. }
            | Stop::Stray { .. }
            | Stop::Unread(_)
            | Stop::Source(_) => None,
        }
    }

    #[test]
    fn a_write_back_that_cannot_be_is_in_doubt_whatever_came_with_it() {
        for cause in [
            firmware(0x1a),
            firmware(0x16),
            error(Errno::EIO),
            error(Errno::EINTR),
            error(Errno::EFAULT),
        ] {
            let told = cause.to_string();
            let stop = update_stop(wrote_back(cause), || false, Some(page(1)), &page(2));
            assert_eq!(words(stop).as_deref(), Some(""), "{told}");
        }
        let dead = update_stop(wrote_back(firmware(0x1a)), || true, None, &page(0));
        assert_eq!(words(dead).as_deref(), Some(DEAD));
    }

    #[test]
    fn a_refusal_by_firmware_is_clean_unless_the_vm_died_of_it() {
        for status in [0x1a, 0x16, 0x7] {
            let clean = stop(firmware(status));
            assert!(matches!(clean, Stop::Firmware(_)), "{status:#x}");
            let dead = update_stop(firmware(status), || true, Some(page(1)), &page(2));
            assert_eq!(words(dead).as_deref(), Some(DEAD), "{status:#x}");
        }
    }

    #[test]
    fn only_a_page_that_came_back_otherwise_was_corrected() {
        let rejected = update_stop(firmware(0x16), || false, Some(page(1)), &page(2));
        let Stop::CpuidRejected {
            submitted,
            corrected,
            ..
        } = rejected
        else {
            panic!("another stop than a rejection");
        };
        assert_eq!((submitted, corrected), (page(1), page(2)));
        for (status, now) in [(0x16, page(1)), (0x7, page(2))] {
            let stop = update_stop(firmware(status), || false, Some(page(1)), &now);
            assert!(matches!(stop, Stop::Firmware(_)), "{status:#x}");
        }
    }

    #[test]
    fn what_has_no_status_is_not_guessed() {
        for errno in [Errno::EINTR, Errno::EAGAIN, Errno::EBUSY] {
            assert!(matches!(stop(error(errno)), Stop::Again(_)), "{errno}");
        }
        for (errno, said) in [
            (Errno::EIO, UNREPORTED),
            (
                Errno::EFAULT,
                "the kernel could not say how many pages it installed",
            ),
            (Errno::EINVAL, ""),
            (Errno::EEXIST, ""),
        ] {
            assert_eq!(words(stop(error(errno))).as_deref(), Some(said), "{errno}");
        }
    }

    #[test]
    fn a_pause_is_among_what_it_may_be() {
        assert!(!UNREPORTED.contains("no pending signal"));
        for pause in ["freezer", "SIGSTOP", "debugger"] {
            let may_be = UNREPORTED.split("it may be").nth(1).unwrap();
            assert!(may_be.contains(pause), "{pause}");
        }
        // A status message is cut at 640 bytes, and command, errno, page and way out take up to 240 of them.
        assert!(UNREPORTED.len() <= 400, "{}", UNREPORTED.len());
    }

    #[test]
    fn an_end_that_failed_is_not_asked_for_again() {
        for errno in [Errno::EINTR, Errno::EAGAIN, Errno::EBUSY, Errno::EIO] {
            assert!(words(finish_stop(error(errno))).is_some(), "{errno}");
        }
        assert!(matches!(finish_stop(firmware(0xb)), Stop::Firmware(_)));
    }
}
