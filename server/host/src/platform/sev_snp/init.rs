//! Why a VM was not made an SNP guest.
//!
//! **Invariant:** a field is named only where the kernel leaves no other; otherwise it is said that it does not say.

use nix::errno::Errno;
use stagepages_kvm::KvmError;

use crate::{
    launch::{Reason, Refusal, by_firmware},
    platform::refused::reason,
    settings::{SnpInfo, SnpSettings, policy, wrong},
};

/// Why INIT2 failed (`__sev_guest_init()`, arch/x86/kvm/svm/sev.c).
pub(super) fn not_initialised(error: &KvmError, settings: &SnpSettings) -> Refusal {
    if let Some(refusal) = firmware(error) {
        return refusal;
    }
    match error.errno().map(Errno::from_raw) {
        Some(Errno::EBUSY) => {
            let text = format!(
                "{error}: no ASID is free for another SNP guest; end one, or raise the number in firmware setup (GetNodeInfo: capacity)"
            );
            Refusal::new(Reason::NoCapacity, text).kernel(error)
        }
        // The features were checked, and the VM is new: what is left is a version of the protocol that is too high, if it is above the least.
        Some(Errno::EINVAL) if settings.ghcb_version > SnpSettings::default().ghcb_version => {
            let text = format!(
                "{} is more than this kernel speaks ({error}); give a lower version, or leave it unset for 2",
                settings.ghcb_version
            );
            wrong("sev_snp.ghcb_version", &text).kernel(error)
        }
        Some(Errno::EINVAL) => unexplained(error),
        Some(_) | None => not_begun(error),
    }
}

/// Why LAUNCH_START failed (`snp_launch_start()`, arch/x86/kvm/svm/sev.c).
pub(super) fn not_started(error: &KvmError, settings: &SnpSettings, info: &SnpInfo) -> Refusal {
    if let Some(refusal) = firmware(error) {
        return refusal;
    }
    match error.errno().map(Errno::from_raw) {
        // Every kernel takes this policy, and of the rest KVM looks at nothing.
        Some(Errno::EINVAL) if settings.policy == policy::DEFAULT => unexplained(error),
        Some(Errno::EINVAL) => {
            // Up to 6.16 they want SMT and refuse SINGLE_SOCKET.
            let why = match info.policy_bits {
                None => "which does not say what it takes".to_owned(),
                Some(bits) => format!(
                    "which reports that it takes each of its bits ({bits:#x}), and does not say why not together"
                ),
            };
            let text = format!(
                "{} is not taken by this kernel ({error}), {why}; {:#x} is taken by all",
                policy::in_words(settings.policy),
                policy::DEFAULT
            );
            wrong(settings.policy_field(), &text).kernel(error)
        }
        Some(_) | None => not_begun(error),
    }
}

/// The refusal, if it is firmware's.
fn firmware(error: &KvmError) -> Option<Refusal> {
    error
        .firmware_status()
        .map(|_status| Refusal::new(Reason::FirmwareRefused, by_firmware(error, "")).kernel(error))
}

/// EINVAL without a setting that it can be about.
fn unexplained(error: &KvmError) -> Refusal {
    let text = format!(
        "{error}: KVM does not say why, and by what it reports it takes these settings; see the kernel's log (kvm_amd), and GetNodeInfo for what the platform needs"
    );
    Refusal::new(Reason::PlatformUnavailable, text).kernel(error)
}

/// Neither the settings nor firmware's word: the secure processor is dead or gone, or something ran out.
fn not_begun(error: &KvmError) -> Refusal {
    let text =
        format!("the launch cannot be started: {error}; see the kernel's log (ccp, kvm_amd)");
    Refusal::new(reason(error), text).kernel(error)
}

#[cfg(test)]
mod tests {
    use stagepages_kvm::FirmwareStatus;

    use super::*;

    const INIT2: &str = "KVM_SEV_INIT2";
    const START: &str = "KVM_SEV_SNP_LAUNCH_START";
    const SAYS: SnpInfo = SnpInfo {
        policy_bits: Some(0x1f_ffff),
        vmsa_features: 0,
    };
    const SAYS_NOTHING: SnpInfo = SnpInfo {
        policy_bits: None,
        ..SAYS
    };

    fn error(op: &'static str, errno: Errno) -> KvmError {
        KvmError::from_errno(op, errno as i32)
    }

    fn with_policy(policy: u64) -> SnpSettings {
        SnpSettings {
            policy,
            ..SnpSettings::default()
        }
    }

    #[test]
    fn firmwares_word_is_told_whichever_command_it_is_about() {
        let settings = SnpSettings::default();
        for op in [INIT2, START] {
            let error = KvmError::Firmware {
                op,
                status: FirmwareStatus::new(0x3),
                os: Errno::EIO.into(),
            };
            for refusal in [
                not_initialised(&error, &settings),
                not_started(&error, &settings, &SAYS),
            ] {
                assert_eq!(
                    (refusal.reason, refusal.firmware_status),
                    (Reason::FirmwareRefused, Some(3))
                );
                for part in [op, "0x3 (INVALID_CONFIG)", "reload kvm_amd"] {
                    assert!(refusal.message.contains(part), "{part}: {refusal:?}");
                }
            }
        }
    }

    #[test]
    fn the_protocols_version_is_blamed_only_where_it_is_above_the_least() {
        let refused = |ghcb_version| {
            let settings = SnpSettings {
                ghcb_version,
                ..SnpSettings::default()
            };
            not_initialised(&error(INIT2, Errno::EINVAL), &settings)
        };
        let above = refused(3);
        assert_eq!(
            (above.reason, above.field.as_str()),
            (Reason::InvalidLaunch, "sev_snp.ghcb_version")
        );
        assert!(above.message.contains(": 3 is more"), "{above:?}");
        let least = refused(2);
        assert_eq!(
            (least.reason, least.field.as_str()),
            (Reason::PlatformUnavailable, "")
        );
        assert!(least.message.contains("does not say why"), "{least:?}");
    }

    #[test]
    fn a_kernel_is_said_to_be_silent_only_where_it_is() {
        let einval = error(START, Errno::EINVAL);
        let silent = "does not say what it takes";
        let refusal = not_started(&einval, &with_policy(0x13_0000), &SAYS_NOTHING);
        assert_eq!(
            (refusal.reason, refusal.field.as_str()),
            (Reason::InvalidLaunch, "sev_snp.policy_number")
        );
        for part in ["0x130000 (SMT, SINGLE_SOCKET)", silent, "0x30000"] {
            assert!(refusal.message.contains(part), "{part}: {refusal:?}");
        }
        let named = SnpSettings {
            policy_named: true,
            ..with_policy(0x13_0000)
        };
        let refusal = not_started(&einval, &named, &SAYS);
        assert_eq!(refusal.field, "sev_snp.policy");
        assert!(!refusal.message.contains(silent), "{refusal:?}");
        assert!(refusal.message.contains("0x1fffff"), "{refusal:?}");
    }

    #[test]
    fn the_policy_that_every_kernel_takes_is_not_blamed() {
        for info in [SAYS, SAYS_NOTHING] {
            let einval = error(START, Errno::EINVAL);
            let refusal = not_started(&einval, &SnpSettings::default(), &info);
            assert_eq!(
                (refusal.reason, refusal.field.as_str()),
                (Reason::PlatformUnavailable, "")
            );
        }
    }

    #[test]
    fn what_ran_out_is_told_from_what_is_not_there() {
        let settings = SnpSettings::default();
        for (errno, reason) in [
            (Errno::ENOMEM, Reason::NoCapacity),
            (Errno::ENODEV, Reason::PlatformUnavailable),
            (Errno::EIO, Reason::PlatformUnavailable),
        ] {
            let init2 = not_initialised(&error(INIT2, errno), &settings);
            let start = not_started(&error(START, errno), &settings, &SAYS);
            assert_eq!((init2.reason, start.reason), (reason, reason), "{errno}");
        }
        let busy = not_initialised(&error(INIT2, Errno::EBUSY), &settings);
        assert_eq!(busy.reason, Reason::NoCapacity);
        assert!(busy.message.contains("ASID"), "{busy:?}");
        let busy = not_started(&error(START, Errno::EBUSY), &settings, &SAYS);
        assert_eq!(busy.reason, Reason::PlatformUnavailable);
    }
}
