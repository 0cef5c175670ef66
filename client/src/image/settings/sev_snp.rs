//! Settings of sev-snp.

use bytes::Bytes;
use stagepages_digest::vmsa::SNP_ACTIVE;

use super::{OVERRIDDEN, choose, hex, number};
use crate::{plan::Finding, sev_snp::Policy, v1};

/// Settings of sev-snp, as `SevSnpSettings` in the API has them; `None` for one that is not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SevSnpOptions {
    /// The guest policy.
    pub guest_policy: Option<Policy>,
    /// SEV_FEATURES of every vCPU's save area; SNP_ACTIVE (bit 0) is always among them.
    pub vmsa_features: Option<u64>,
    /// The newest GHCB protocol that the guest may negotiate.
    pub ghcb_version: Option<u32>,
    /// Guest OS visible workarounds, 16 bytes.
    pub gosvw: Option<Bytes>,
}

impl SevSnpOptions {
    /// Whether none is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What CreateLaunch is given; `None` if no setting is.
    #[must_use]
    pub fn settings(&self) -> Option<v1::SevSnpSettings> {
        (!self.is_empty()).then(|| v1::SevSnpSettings {
            guest_policy: self.guest_policy.map(Into::into),
            vmsa_features: self.vmsa_features.unwrap_or_default(),
            ghcb_version: self.ghcb_version.unwrap_or_default(),
            gosvw: self.gosvw.clone().unwrap_or_default(),
        })
    }

    /// These, and what the image says where these say nothing.
    pub(in crate::image) fn over(&self, image: &Self, findings: &mut Vec<Finding>) -> Self {
        Self {
            guest_policy: choose(
                ("GUEST_POLICY", "guest policy"),
                [&self.guest_policy, &image.guest_policy],
                Policy::to_string,
                findings,
            ),
            vmsa_features: choose(
                (OVERRIDDEN, "set of SEV_FEATURES"),
                [&self.vmsa_features, &image.vmsa_features],
                |it| number(&(it | SNP_ACTIVE)),
                findings,
            ),
            ghcb_version: choose(
                (OVERRIDDEN, "GHCB version"),
                [&self.ghcb_version, &image.ghcb_version],
                u32::to_string,
                findings,
            ),
            gosvw: choose(
                (OVERRIDDEN, "set of workarounds (GOSVW)"),
                [&self.gosvw, &image.gosvw],
                hex,
                findings,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> SevSnpOptions {
        SevSnpOptions {
            guest_policy: "smt,abi=1.55".parse().ok(),
            vmsa_features: Some(0x20),
            ghcb_version: Some(2),
            gosvw: Some(vec![1; 16].into()),
        }
    }

    #[test]
    fn each_is_replaced_alone_and_told() {
        type Take = fn(&mut SevSnpOptions, SevSnpOptions);
        let takes: [(Take, [&str; 2]); 4] = [
            (
                |it, of| it.guest_policy = of.guest_policy,
                ["0x30137", "0x30000"],
            ),
            (
                |it, of| it.vmsa_features = of.vmsa_features,
                ["0x21", "0x1"],
            ),
            (|it, of| it.ghcb_version = of.ghcb_version, ["is 2,", "3"]),
            (|it, of| it.gosvw = of.gosvw, ["0101", "0909"]),
        ];
        for (take, told) in takes {
            let other = || SevSnpOptions {
                guest_policy: "smt".parse().ok(),
                vmsa_features: Some(0),
                ghcb_version: Some(3),
                gosvw: Some(vec![9; 16].into()),
            };
            let (mut asked, mut expected) = (SevSnpOptions::default(), image());
            take(&mut asked, other());
            take(&mut expected, other());
            let mut findings = Vec::new();
            assert_eq!(asked.over(&image(), &mut findings), expected);
            let [finding] = &findings[..] else {
                panic!("{findings:?}");
            };
            assert!(told.iter().all(|it| finding.message.contains(it)));
        }
    }

    #[test]
    fn what_says_the_same_in_other_words_is_not_told() {
        let asked = SevSnpOptions {
            guest_policy: "0x30137".parse().ok(),
            vmsa_features: Some(0x21),
            ..SevSnpOptions::default()
        };
        let mut findings = Vec::new();
        asked.over(&image(), &mut findings);
        SevSnpOptions::default().over(&image(), &mut findings);
        image().over(&SevSnpOptions::default(), &mut findings);
        assert_eq!(findings, []);
    }
}
