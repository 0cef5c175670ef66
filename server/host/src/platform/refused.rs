//! Why a platform could not be made, where the launch's settings are not the cause.

#![expect(
    clippy::needless_pass_by_value,
    reason = "made for `map_err`, which hands the error over"
)]

use std::io;

use nix::errno::Errno;
use stagepages_kvm::KvmError;

use crate::launch::{Reason, Refusal};

/// The kernel has made no VM, or no memory for it: for want of room, or because it cannot.
pub(crate) fn not_made(error: KvmError) -> Refusal {
    let reason = reason(&error);
    let way_out = if reason == Reason::NoCapacity {
        "ask for less memory, or free some"
    } else {
        "see the kernel's log, and GetNodeInfo for what the platform needs"
    };
    let text = format!("the kernel cannot make this launch: {error}; {way_out}");
    Refusal::new(reason, text).kernel(&error)
}

/// Whether something ran out, of which there may be more later or elsewhere, or whether this machine does not do it.
pub(crate) fn reason(error: &KvmError) -> Reason {
    use Errno::{EAGAIN, EMFILE, ENFILE, ENOMEM, ENOSPC};
    match error.errno().map(Errno::from_raw) {
        Some(EAGAIN | EMFILE | ENFILE | ENOMEM | ENOSPC) => Reason::NoCapacity,
        Some(_) | None => Reason::PlatformUnavailable,
    }
}

/// A device is missing, closed to this process, or does not answer as the platform needs.
pub(crate) fn unavailable(error: KvmError) -> Refusal {
    let text = format!("{error}; GetNodeInfo lists what the platform needs");
    Refusal::new(Reason::PlatformUnavailable, text).kernel(&error)
}

/// The buffer that pages are installed from cannot be locked.
pub(crate) fn no_locked_memory(error: io::Error) -> Refusal {
    let text = format!(
        "memory for pages on their way cannot be locked: {error}; raise the limit on locked memory (RLIMIT_MEMLOCK, systemd: LimitMEMLOCK)"
    );
    Refusal {
        errno: error.raw_os_error(),
        ..Refusal::new(Reason::NoCapacity, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_out_is_told_from_what_is_not_there() {
        for (errno, expected, words) in [
            (Errno::ENOMEM, Reason::NoCapacity, "less memory"),
            (Errno::EMFILE, Reason::NoCapacity, "less memory"),
            (Errno::EINVAL, Reason::PlatformUnavailable, "kernel's log"),
            (Errno::ENODEV, Reason::PlatformUnavailable, "kernel's log"),
            (Errno::EIO, Reason::PlatformUnavailable, "kernel's log"),
        ] {
            let refusal = not_made(KvmError::from_errno("KVM_CREATE_VM", errno as i32));
            assert_eq!(refusal.reason, expected, "{refusal:?}");
            assert!(refusal.message.contains(words), "{refusal:?}");
            assert_eq!(refusal.errno, Some(errno as i32));
        }
    }
}
