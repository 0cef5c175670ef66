//! Why a platform could not be made, where the launch's settings are not the cause.

#![expect(
    clippy::needless_pass_by_value,
    reason = "made for `map_err`, which hands the error over"
)]

use std::io;

use stagepages_kvm::KvmError;

use crate::launch::{Reason, Refusal};

/// The kernel has no room for another VM of this size.
pub(crate) fn no_room(error: KvmError) -> Refusal {
    let text =
        format!("the kernel cannot make this launch: {error}; ask for less memory, or free some");
    Refusal::new(Reason::NoCapacity, text).kernel(&error)
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
