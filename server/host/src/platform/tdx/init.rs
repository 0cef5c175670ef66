//! Why a VM was not made a TD.
//!
//! **Invariant:** a field is named only where the kernel leaves no other; otherwise it is said that it does not say.

use nix::errno::Errno;
use stagepages_kvm::{KvmError, TdxInit};

use crate::{
    launch::{Reason, Refusal},
    platform::refused::not_made,
    settings::wrong,
};

/// Why INIT_VM failed (`tdx_td_init()` and what it calls, arch/x86/kvm/vmx/tdx.c).
pub(super) fn not_initialised(error: KvmError, init: &TdxInit) -> Refusal {
    let (reason, text) = match error.errno().map(Errno::from_raw) {
        Some(Errno::ENOSPC) => (
            Reason::NoCapacity,
            format!(
                "{error}: no private key id (HKID) is free for another TD; end one, or give TDX more key ids in firmware setup (GetNodeInfo: capacity)"
            ),
        ),
        Some(Errno::EBUSY) => (
            Reason::NoCapacity,
            format!(
                "{error}: the host's cgroup has no private key id (HKID) left; end a TD, or raise tdx in its misc.max"
            ),
        ),
        Some(Errno::EAGAIN) => (
            Reason::NoCapacity,
            format!(
                "{error}: the processor had no random numbers for a key; create the launch again"
            ),
        ),
        Some(Errno::EINVAL) => return wrong_settings(&error, init),
        Some(Errno::EIO) => (
            Reason::PlatformUnavailable,
            format!(
                "{error}: no TD can be made here; each processor package needs a processor that is online, and what else it is the kernel's log says (tdx, SEAMCALL)"
            ),
        ),
        Some(_) | None => return not_made(error),
    };
    Refusal::new(reason, text).kernel(&error)
}

/// Every field was checked against what KVM reports: what is left is what it does not.
fn wrong_settings(error: &KvmError, init: &TdxInit) -> Refusal {
    let refusal = if error.hw_error().is_some() {
        let text = format!(
            "the TDX module does not take these settings together; the low half of its status says which operand ({error})"
        );
        wrong("tdx", &text)
    } else if init.cpuid.guest_physical_bits() == Some(52) {
        let text = format!(
            "52 guest-physical address bits are not taken here ({error}): they need five-level EPT; give 48"
        );
        wrong("tdx.cpuid", &text)
    } else {
        let text = format!(
            "KVM reports that it takes each of these settings, and refused them ({error}) without saying which; leave fields unset for what it supports"
        );
        wrong("tdx", &text)
    };
    refusal.kernel(error)
}

#[cfg(test)]
mod tests {
    use stagepages_kvm::{CpuidEntry, CpuidLeaf};

    use super::*;

    const OP: &str = "KVM_TDX_INIT_VM";

    fn init(bits: u32) -> TdxInit {
        let sizes = CpuidEntry {
            function: 0x8000_0008,
            index: Some(0),
            leaf: CpuidLeaf {
                eax: bits << 16,
                ..CpuidLeaf::default()
            },
        };
        TdxInit {
            attributes: 0,
            xfam: 3,
            mrconfigid: [0; 48],
            mrowner: [0; 48],
            mrownerconfig: [0; 48],
            cpuid: [sizes].into_iter().collect(),
        }
    }

    #[test]
    fn each_errno_has_its_reason_and_its_way_out() {
        for (errno, bits, reason, field, words) in [
            (Errno::ENOSPC, 48, Reason::NoCapacity, "", "HKID"),
            (Errno::EBUSY, 48, Reason::NoCapacity, "", "misc.max"),
            (Errno::EAGAIN, 48, Reason::NoCapacity, "", "again"),
            (Errno::ENOMEM, 48, Reason::NoCapacity, "", "memory"),
            (Errno::EIO, 48, Reason::PlatformUnavailable, "", "log"),
            (Errno::EINVAL, 48, Reason::InvalidLaunch, "tdx", "unset"),
            (
                Errno::EINVAL,
                52,
                Reason::InvalidLaunch,
                "tdx.cpuid",
                "give 48",
            ),
        ] {
            let error = KvmError::from_errno(OP, errno as i32);
            let refusal = not_initialised(error, &init(bits));
            assert_eq!(
                (refusal.reason, refusal.field.as_str()),
                (reason, field),
                "{refusal:?}"
            );
            assert!(refusal.message.contains(words), "{refusal:?}");
            assert_eq!(refusal.errno, Some(errno as i32));
            assert_eq!(refusal.platform.unwrap().ioctl, OP);
        }
    }

    #[test]
    fn what_the_module_said_of_the_settings_is_kept() {
        let error = KvmError::TdxModule {
            op: OP,
            hw_error: 0xc000_0100_0000_0009,
            os: std::io::Error::from_raw_os_error(Errno::EINVAL as i32),
        };
        let refusal = not_initialised(error, &init(52));
        assert_eq!(
            (refusal.reason, refusal.field.as_str()),
            (Reason::InvalidLaunch, "tdx")
        );
        assert!(
            refusal.message.contains("0xc000010000000009"),
            "{refusal:?}"
        );
        assert_eq!(
            refusal.platform.unwrap().hw_error,
            Some(0xc000_0100_0000_0009)
        );
    }
}
