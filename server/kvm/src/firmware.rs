//! What AMD's secure processor answers: a status, its name, what it means in a launch, and what an operator can do.
//!
//! Names and numbers are those of `include/uapi/linux/psp-sev.h`, meanings those of the SEV-SNP firmware ABI (AMD publication 56860),
//! chapter "Status Codes", as the commands of a launch use them.
//!
//! **Invariant:** every status prints, known or not, and always with its number.

use std::fmt;

/// A status of the firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FirmwareStatus(u32);

impl FirmwareStatus {
    /// The command succeeded.
    pub const SUCCESS: Self = Self(0);
    /// The policy of the guest does not allow it.
    pub const POLICY_FAILURE: Self = Self(0x7);
    /// A parameter is refused. For a CPUID page: its values are, and others were proposed in its place.
    pub const INVALID_PARAM: Self = Self(0x16);
    /// The driver made no call of the firmware, -1 in the kernel's words.
    pub const NO_FW_CALL: Self = Self(u32::MAX);

    /// Takes a status as the kernel gives it.
    pub const fn new(status: u32) -> Self {
        Self(status)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The kernel's name for it, `POLICY_FAILURE`; `UNKNOWN` if it has none.
    pub fn name(self) -> &'static str {
        self.known().map_or("UNKNOWN", |(_, name, _)| name)
    }

    /// What it means in a launch, as a clause.
    pub fn meaning(self) -> &'static str {
        self.known().map_or(
            "a status that this version does not know",
            |(_, _, meaning)| meaning,
        )
    }

    /// What an operator can do about it, as an imperative.
    pub fn remedy(self) -> &'static str {
        match self.0 {
            0 => "nothing has to be done",
            0x7 => {
                "compare the policy of the launch with that of the ID block and with what this platform is: SMT, firmware version, debugging"
            }
            0xa => "sign the ID block anew, and check that ID auth holds the keys that signed it",
            0xb => {
                "compare the launch digest with that of the ID block: stage what the ID block was made for, in its order, or make it anew"
            }
            0x16 => {
                "for a CPUID page compare it with the corrected one, else check the settings of the launch"
            }
            0x17 => "end other confidential guests of this host, or place the launch on another",
            0x2 | 0x4 | 0x8 | 0x9 | 0xc | 0xd | 0x10 | 0x12 | 0x19..=0x1c => {
                "create a new launch; if that meets it too, see what the kernel logged of SEV (`dmesg`)"
            }
            0x1 | 0x3 | 0xe | 0xf | 0x20 | 0x23 | 0x25 | 0x26 | u32::MAX => {
                "see what the kernel logged of SEV on this host (`dmesg`), check the firmware's setup for SEV-SNP, and reload kvm_amd or reboot"
            }
            0x11 | 0x15 | 0x21 | 0x22 | 0x24 => {
                "update the SEV firmware of this host, or leave out the setting that it lacks"
            }
            0x13 | 0x14 => "take this host out of service: its secure processor reports a fault",
            _ => "look the status up in AMD's SEV-SNP firmware ABI, and see what the kernel logged",
        }
    }

    fn known(self) -> Option<&'static Known> {
        KNOWN.iter().find(|(status, ..)| *status == self.0)
    }
}

/// `POLICY_FAILURE (0x7)`.
impl fmt::Display for FirmwareStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:#x})", self.name(), self.0)
    }
}

/// A status, its name, its meaning.
type Known = (u32, &'static str, &'static str);

#[rustfmt::skip] // A table: a status a line.
const KNOWN: &[Known] = &[
    (0x00, "SUCCESS", "the command succeeded"),
    (0x01, "INVALID_PLATFORM_STATE", "the platform is not in a state that takes this command"),
    (0x02, "INVALID_GUEST_STATE", "the guest's launch is not at a step that takes this command"),
    (0x03, "INVALID_CONFIG", "the platform's configuration does not allow this command"),
    (0x04, "INVALID_LEN", "the length of a buffer is wrong"),
    (0x05, "ALREADY_OWNED", "the platform has an owner already"),
    (0x06, "INVALID_CERTIFICATE", "a certificate is invalid"),
    (0x07, "POLICY_FAILURE", "the guest's policy does not allow this"),
    (0x08, "INACTIVE", "the guest has no active address space"),
    (0x09, "INVALID_ADDRESS", "an address is not one that firmware can use"),
    (0x0a, "BAD_SIGNATURE", "a signature of the ID block does not verify"),
    (0x0b, "BAD_MEASUREMENT", "the launch digest is not the one in the ID block"),
    (0x0c, "ASID_OWNED", "the address space id belongs to another guest"),
    (0x0d, "INVALID_ASID", "the address space id is not one that an SNP guest can have"),
    (0x0e, "WBINVD_REQUIRED", "the processors' caches have to be written back first"),
    (0x0f, "DFFLUSH_REQUIRED", "the data fabric has to be flushed first"),
    (0x10, "INVALID_GUEST", "the guest's context is not one that firmware made"),
    (0x11, "INVALID_COMMAND", "firmware does not know this command"),
    (0x12, "ACTIVE", "the guest is active already"),
    (0x13, "HWERROR_PLATFORM", "a hardware fault, of which the platform's state is safe"),
    (0x14, "HWERROR_UNSAFE", "a hardware fault that leaves the platform unsafe to use"),
    (0x15, "UNSUPPORTED", "this firmware does not support what was asked"),
    (0x16, "INVALID_PARAM", "a parameter is invalid, or the values of a CPUID page are not allowed"),
    (0x17, "RESOURCE_LIMIT", "firmware has no room for another guest"),
    (0x18, "SECURE_DATA_INVALID", "data that firmware protects failed its check"),
    (0x19, "INVALID_PAGE_SIZE", "the page's size in the RMP is not the one expected"),
    (0x1a, "INVALID_PAGE_STATE", "the page's state in the RMP is not the one expected"),
    (0x1b, "INVALID_MDATA_ENTRY", "an entry of page metadata is invalid"),
    (0x1c, "INVALID_PAGE_OWNER", "the page belongs to another guest"),
    (0x1d, "AEAD_OFLOW", "a counter of the encryption is exhausted"),
    (0x1f, "EXIT_RING_BUFFER", "firmware left the mode that takes commands from a ring"),
    (0x20, "RMP_INIT_REQUIRED", "the RMP is not initialised"),
    (0x21, "BAD_SVN", "the security version is below the one committed"),
    (0x22, "BAD_VERSION", "the firmware's version is below the one committed"),
    (0x23, "SHUTDOWN_REQUIRED", "firmware has to be shut down first"),
    (0x24, "UPDATE_FAILED", "an update of the firmware failed"),
    (0x25, "RESTORE_REQUIRED", "the committed firmware has to be restored first"),
    (0x26, "RMP_INITIALIZATION_FAILED", "the RMP could not be initialised"),
    (0x27, "INVALID_KEY", "a key is invalid"),
    (u32::MAX, "NO_FW_CALL", "no command reached the firmware"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_kernels() {
        for (status, name) in [
            (0x1, "INVALID_PLATFORM_STATE"),
            (0x2, "INVALID_GUEST_STATE"),
            (0x3, "INVALID_CONFIG"),
            (0x4, "INVALID_LEN"),
            (0x7, "POLICY_FAILURE"),
            (0x9, "INVALID_ADDRESS"),
            (0xa, "BAD_SIGNATURE"),
            (0xb, "BAD_MEASUREMENT"),
            (0x15, "UNSUPPORTED"),
            (0x16, "INVALID_PARAM"),
            (0x17, "RESOURCE_LIMIT"),
            (0x19, "INVALID_PAGE_SIZE"),
            (0x1a, "INVALID_PAGE_STATE"),
            (0x1b, "INVALID_MDATA_ENTRY"),
            (0x1c, "INVALID_PAGE_OWNER"),
            (u32::MAX, "NO_FW_CALL"),
            (0x1e, "UNKNOWN"),
            (0xffff, "UNKNOWN"),
        ] {
            assert_eq!(FirmwareStatus::new(status).name(), name, "{status:#x}");
        }
    }

    #[test]
    fn a_status_is_listed_once_and_in_order() {
        assert!(KNOWN.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn words_fit_into_a_sentence() {
        let unknown = FirmwareStatus::new(0x1e);
        let all = KNOWN
            .iter()
            .map(|(status, ..)| FirmwareStatus::new(*status));
        for status in all.chain([unknown]) {
            for words in [status.meaning(), status.remedy()] {
                assert!(words.starts_with(|c: char| c.is_lowercase()), "{words}");
                assert!(!words.ends_with('.'), "{words}");
            }
        }
        assert_eq!(unknown.to_string(), "UNKNOWN (0x1e)");
        assert_eq!(
            FirmwareStatus::POLICY_FAILURE.to_string(),
            "POLICY_FAILURE (0x7)"
        );
    }
}
