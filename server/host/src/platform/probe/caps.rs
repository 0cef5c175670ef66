//! Capabilities, asked of whom they depend on.
//!
//! Private memory and the flags of a guest_memfd depend on the type of the VM (`kvm_vm_ioctl_check_extension_generic()`, virt/kvm/kvm_main.c), so a VM of that type is
//! asked wherever one can be made. Where none can, the device is: it says what the kernel was built with, for all types together.
//!
//! **Invariant:** the answer says which of the two gave it.

use stagepages_kvm::{Cap, Kvm, KvmError, Vm};

use super::Check;

/// Who is asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked<'a> {
    /// A VM of the platform's type.
    Vm(&'a Vm),
    /// `/dev/kvm`.
    Device(&'a Kvm),
}

/// A capability that a platform needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need {
    /// Which.
    pub(super) cap: Cap,
    /// The bits of its value that have to be there.
    pub(super) bits: u32,
    /// What an operator can do if they are not.
    pub(super) remedy: &'static str,
}

/// `KVM_SET_USER_MEMORY_REGION2`.
pub(super) const USER_MEMORY2: Need = Need {
    cap: Cap::UserMemory2,
    bits: 1,
    remedy: "run Linux 6.8 or later",
};

/// `KVM_CREATE_GUEST_MEMFD`.
pub(super) const GUEST_MEMFD: Need = Need {
    cap: Cap::GuestMemfd,
    bits: 1,
    remedy: "run Linux 6.8 or later with guest_memfd (CONFIG_KVM_GUEST_MEMFD; CONFIG_KVM_PRIVATE_MEM before 6.18)",
};

/// `KVM_SET_MEMORY_ATTRIBUTES` with PRIVATE. Linux after 7.2 can keep private pages per guest_memfd in its place, and then has it no more.
pub(super) const PRIVATE_MEMORY: Need = Need {
    cap: Cap::MemoryAttributes,
    bits: 1 << 3,
    remedy: "run a kernel with private memory (CONFIG_KVM_GENERIC_MEMORY_ATTRIBUTES), and with gmem_in_place_conversion=0 where module kvm has that",
};

impl Asked<'_> {
    /// Asks for one.
    pub(super) fn check(self, need: Need) -> Check {
        match self {
            Self::Vm(vm) => judge(need, vm.check_extension(need.cap), ""),
            Self::Device(kvm) => judge(
                need,
                kvm.check_extension(need.cap),
                " (asked of /dev/kvm, for want of a VM)",
            ),
        }
    }
}

fn judge(need: Need, answer: Result<u32, KvmError>, whom: &str) -> Check {
    let Need { cap, bits, remedy } = need;
    match answer {
        Ok(value) => {
            let found = format!("{value:#x}, need {bits:#x}{whom}");
            if value & bits == bits {
                Check::there(cap.name(), found)
            } else {
                Check::missing(cap.name(), found, remedy)
            }
        }
        Err(error) => Check::missing(cap.name(), format!("{error}{whom}"), remedy),
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn every_bit_that_is_needed_has_to_be_there() {
        let both = Need {
            bits: 3,
            ..GUEST_MEMFD
        };
        for (value, ok) in [(3, true), (0xb, true), (1, false), (0, false)] {
            let check = judge(both, Ok(value), "");
            assert_eq!(check.ok, ok, "{check:?}");
            assert_eq!(check.remedy.is_empty(), ok, "{check:?}");
        }
        let check = judge(PRIVATE_MEMORY, Ok(0), " (asked)");
        assert_eq!(
            (check.subject.as_str(), check.found.as_str()),
            ("KVM_CAP_MEMORY_ATTRIBUTES", "0x0, need 0x8 (asked)")
        );
    }

    #[test]
    fn a_question_that_fails_is_missing_with_its_errno() {
        let error = KvmError::from_errno("KVM_CHECK_EXTENSION", Errno::EIO as i32);
        let check = judge(USER_MEMORY2, Err(error), "");
        assert!(
            !check.ok && check.found.contains("Input/output error"),
            "{check:?}"
        );
    }
}
