//! What SEV-SNP and TDX have in common: private memory, a buffer that nobody else reaches, and how to tell that a VM is dead.
//!
//! **Invariant:** the kernel is never given a source that is missing, unaligned or shared (it warns, and with `panic_on_warn` the machine is gone:
//! kernel.md, section 1.4).

mod buffer;
mod memory;

use nix::errno::Errno;
use stagepages_kvm::{Cap, KvmError, Vm};

use super::{Contents, Installed, Stop};
use crate::launch::Spent;

pub(super) use buffer::{BUFFER_PAGES, Buffer};
pub(super) use memory::{Private, back};

/// What is said of a VM that KVM has given up.
pub(super) const DEAD: &str =
    "KVM has declared the VM dead, and every later call on it fails in the same way";

/// Whether KVM has declared the VM dead: then every ioctl is EIO, also one that asks for a number (`kvm_vm_ioctl()`, virt/kvm/kvm_main.c, Linux 6.11 to
/// 7.1). This process made the VM, which rules the other cause of it out.
pub(super) fn is_dead(vm: &Vm) -> bool {
    vm.check_extension(Cap::NrMemslots)
        .is_err_and(|error| error.errno() == Some(Errno::EIO as i32))
}

/// Whether the kernel says that asking again may help. Never where what it wrote back cannot be, whatever the errno: it is not known then which page
/// would be the next.
pub(super) fn asks_again(error: &KvmError) -> bool {
    use std::io::ErrorKind::{Interrupted, ResourceBusy, WouldBlock};
    if matches!(error, KvmError::WroteBack { .. }) {
        return false;
    }
    error.errno().is_some_and(|errno| {
        let kind = std::io::Error::from_raw_os_error(errno).kind();
        matches!(kind, Interrupted | ResourceBusy | WouldBlock)
    })
}

/// Nothing was installed, and why.
pub(super) fn nothing<'a>(stop: Stop) -> Installed<'a> {
    Installed {
        pages: 0,
        contents: Contents::Unknown,
        stop: Some(stop),
        spent: Spent::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_in_doubt_is_asked_again() {
        for (errno, again) in [
            (Errno::EINTR, true),
            (Errno::EAGAIN, true),
            (Errno::EBUSY, true),
            (Errno::EIO, false),
            (Errno::EEXIST, false),
            (Errno::ENOMEM, false),
        ] {
            let error = KvmError::from_errno("op", errno as i32);
            assert_eq!(asks_again(&error), again, "{errno}");
            let in_doubt = KvmError::WroteBack {
                op: "op",
                field: "gpa",
                value: 1,
                cause: Some(Box::new(error)),
            };
            assert!(!asks_again(&in_doubt), "{errno}");
        }
    }
}
