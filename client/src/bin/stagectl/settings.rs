//! What a confidential launch is made with, as names and values.
//!
//! **Invariant:** only what was given is shown: which default was taken, the daemon does not tell.

use stagepages_client::{sev_snp::Policy, tdx::CpuidLeaf, v1};

use crate::json::hex;

/// The settings of `spec` that were given.
pub(crate) fn facts(spec: &v1::LaunchSpec) -> Vec<(&'static str, String)> {
    let snp = spec.sev_snp.iter().flat_map(sev_snp);
    snp.chain(spec.tdx.iter().flat_map(tdx)).collect()
}

fn sev_snp(settings: &v1::SevSnpSettings) -> Vec<(&'static str, String)> {
    let policy = settings.guest_policy.map(|it| Policy::from(it).to_string());
    let features = settings.vmsa_features;
    let ghcb = settings.ghcb_version;
    given([
        ("guest policy", policy),
        (
            "vmsa features",
            (features != 0).then(|| format!("{features:#x}")),
        ),
        ("ghcb version", (ghcb != 0).then(|| ghcb.to_string())),
        ("gosvw", id(&settings.gosvw)),
    ])
    .collect()
}

fn tdx(settings: &v1::TdxSettings) -> Vec<(&'static str, String)> {
    let number = |number: Option<u64>| number.map(|number| format!("{number:#x}"));
    let leaves = settings.cpuid.iter().map(CpuidLeaf::from);
    given([
        ("attributes", number(settings.attributes)),
        ("xfam", number(settings.xfam)),
        ("mrconfigid", id(&settings.mrconfigid)),
        ("mrowner", id(&settings.mrowner)),
        ("mrownerconfig", id(&settings.mrownerconfig)),
    ])
    .chain(leaves.map(|leaf| ("cpuid", leaf.to_string())))
    .collect()
}

fn given<const N: usize>(
    facts: [(&'static str, Option<String>); N],
) -> impl Iterator<Item = (&'static str, String)> {
    facts
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
}

fn id(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| hex(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_given_is_shown() {
        let snp = v1::SevSnpSettings {
            guest_policy: Some("smt,debug".parse::<Policy>().unwrap().into()),
            ghcb_version: 2,
            ..v1::SevSnpSettings::default()
        };
        let spec = v1::LaunchSpec {
            sev_snp: Some(snp),
            ..v1::LaunchSpec::default()
        };
        assert_eq!(
            facts(&spec),
            [
                ("guest policy", "0xb0000 (smt, debug)".to_owned()),
                ("ghcb version", "2".to_owned())
            ]
        );
        let leaf: CpuidLeaf = "7:0:1:0:0".parse().unwrap();
        let tdx = v1::TdxSettings {
            xfam: Some(7),
            mrowner: vec![0xa5; 2].into(),
            cpuid: vec![leaf.into()],
            ..v1::TdxSettings::default()
        };
        let spec = v1::LaunchSpec {
            tdx: Some(tdx),
            ..v1::LaunchSpec::default()
        };
        assert_eq!(
            facts(&spec),
            [
                ("xfam", "0x7".to_owned()),
                ("mrowner", "a5a5".to_owned()),
                ("cpuid", "0x7.0x0:0x0:0x1:0x0:0x0".to_owned())
            ]
        );
        assert_eq!(facts(&v1::LaunchSpec::default()), []);
    }
}
