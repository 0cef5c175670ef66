//! What an SEV-SNP launch is made with.

use stagepages_digest::vmsa::SNP_ACTIVE;

use super::{exactly, policy, wrong};
use crate::{launch::Refusal, protocol};

/// The version of the GHCB protocol that SNP needs, and KVM's default for it.
const LEAST_GHCB: u16 = 2;

/// The settings, each with its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnpSettings {
    /// The guest policy.
    pub policy: u64,
    /// It was given by named bits.
    pub policy_named: bool,
    /// SEV_FEATURES of every save area, without SNP_ACTIVE.
    pub vmsa_features: u64,
    /// The GHCB protocol, 2 or more.
    pub ghcb_version: u16,
    /// Guest OS visible workarounds.
    pub gosvw: [u8; 16],
}

/// What KVM takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnpInfo {
    /// Policy bits; `None` where this kernel does not say (before Linux 6.19).
    pub policy_bits: Option<u64>,
    /// SEV_FEATURES that a save area may have.
    pub vmsa_features: u64,
}

impl Default for SnpSettings {
    fn default() -> Self {
        Self {
            policy: policy::DEFAULT,
            policy_named: false,
            vmsa_features: 0,
            ghcb_version: LEAST_GHCB,
            gosvw: [0; 16],
        }
    }
}

impl SnpSettings {
    /// Takes the message.
    ///
    /// # Errors
    /// `InvalidLaunch` with the field that no machine takes.
    pub fn new(given: &protocol::SevSnp) -> Result<Self, Refusal> {
        let default = Self::default();
        let policy = given.policy.unwrap_or(default.policy);
        if policy & policy::MUST_BE_ONE == 0 {
            let text = format!("{policy:#x} lacks bit 17, which must be one; add 0x20000");
            return Err(wrong(policy_field(given.policy_named), &text));
        }
        let ghcb_version = match given.ghcb_version {
            0 => default.ghcb_version,
            version => u16::try_from(version)
                .ok()
                .filter(|version| *version >= LEAST_GHCB)
                .ok_or_else(|| {
                    let text = format!("{version} is no version that SNP guests speak; give {LEAST_GHCB} or more, or leave it unset");
                    wrong("sev_snp.ghcb_version", &text)
                })?,
        };
        Ok(Self {
            policy,
            policy_named: given.policy_named,
            // KVM sets it itself.
            vmsa_features: given.vmsa_features & !SNP_ACTIVE,
            ghcb_version,
            gosvw: exactly("sev_snp.gosvw", &given.gosvw)?,
        })
    }

    /// Whether this machine's KVM takes them, as far as it says.
    ///
    /// # Errors
    /// `InvalidLaunch` with the field that it does not take.
    pub fn check(&self, info: &SnpInfo) -> Result<(), Refusal> {
        if let Some(taken) = info.policy_bits
            && let beyond = policy::flags(self.policy) & !taken
            && beyond != 0
        {
            let text = format!(
                "{:#x} has bits {} that KVM does not take here; it takes {taken:#x} (GetNodeInfo: sev_snp.policy_bits)",
                self.policy,
                policy::in_words(beyond)
            );
            return Err(wrong(self.policy_field(), &text));
        }
        if self.vmsa_features & !info.vmsa_features != 0 {
            let text = format!(
                "{:#x} has bits {:#x} that KVM does not take here; it takes {:#x} (GetNodeInfo: sev_snp.vmsa_features)",
                self.vmsa_features,
                self.vmsa_features & !info.vmsa_features,
                info.vmsa_features
            );
            return Err(wrong("sev_snp.vmsa_features", &text));
        }
        Ok(())
    }

    /// The field that the policy came from, by its path.
    pub(crate) fn policy_field(&self) -> &'static str {
        policy_field(self.policy_named)
    }
}

fn policy_field(named: bool) -> &'static str {
    if named {
        "sev_snp.policy"
    } else {
        "sev_snp.policy_number"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(given: &protocol::SevSnp) -> String {
        SnpSettings::new(given).unwrap_err().field
    }

    #[test]
    fn nothing_given_is_the_default() {
        let settings = SnpSettings::new(&protocol::SevSnp::default()).unwrap();
        assert_eq!(settings, SnpSettings::default());
        assert_eq!((settings.policy, settings.ghcb_version), (0x30000, 2));
    }

    #[test]
    fn what_no_machine_takes_is_named() {
        let given = protocol::SevSnp::default;
        let policy = protocol::SevSnp {
            policy: Some(0x10000),
            ..given()
        };
        assert_eq!(field(&policy), "sev_snp.policy_number");
        for version in [1, 0x1_0002] {
            let ghcb = protocol::SevSnp {
                ghcb_version: version,
                ..given()
            };
            assert_eq!(field(&ghcb), "sev_snp.ghcb_version");
        }
        let gosvw = protocol::SevSnp {
            gosvw: vec![0; 15],
            ..given()
        };
        assert_eq!(field(&gosvw), "sev_snp.gosvw");
    }

    #[test]
    fn a_policy_by_named_bits_is_blamed_where_it_was_given() {
        let named = SnpSettings::new(&protocol::SevSnp {
            policy: Some(0x13_0000),
            policy_named: true,
            ..protocol::SevSnp::default()
        })
        .unwrap();
        let info = SnpInfo {
            policy_bits: Some(0x3_ffff),
            vmsa_features: 0,
        };
        let refusal = named.check(&info).unwrap_err();
        assert_eq!(refusal.field, "sev_snp.policy");
        assert!(refusal.message.contains("SINGLE_SOCKET"), "{refusal:?}");
    }

    #[test]
    fn what_this_machine_does_not_take_is_named_with_the_bits() {
        let info = SnpInfo {
            policy_bits: Some(0x3_ffff),
            vmsa_features: 0x21,
        };
        let fits = SnpSettings {
            policy: 0x3_0137,
            vmsa_features: 0x20,
            ..SnpSettings::default()
        };
        assert_eq!(fits.check(&info), Ok(()));
        let policy = SnpSettings {
            policy: 0x93_0000,
            ..fits
        };
        let refusal = policy.check(&info).unwrap_err();
        assert_eq!(refusal.field, "sev_snp.policy_number");
        let words = "0x930000 has bits 0x900000 (SINGLE_SOCKET, RAPL_DIS)";
        assert!(refusal.message.contains(words), "{refusal:?}");
        let unsaid = SnpInfo {
            policy_bits: None,
            ..info
        };
        assert_eq!(policy.check(&unsaid), Ok(()));
        let features = SnpSettings {
            vmsa_features: 0x220,
            ..fits
        };
        let refusal = features.check(&info).unwrap_err();
        assert_eq!(refusal.field, "sev_snp.vmsa_features");
        assert!(refusal.message.contains("0x200 "), "{refusal:?}");
    }
}
