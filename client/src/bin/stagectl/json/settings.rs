//! What a confidential launch was made with.
//!
//! Numbers are strings in hex, ids strings of hex digits; what the caller left to the daemon is null.
//!
//! **Invariant:** no default is filled in: which one was taken, the daemon does not tell.

use serde::Serialize;
use stagepages_client::{
    sev_snp::{Policy, flag_names},
    tdx::CpuidLeaf,
    v1,
};

use super::hex;

/// `{"policy", "policy_flags", "vmsa_features", "ghcb_version", "gosvw"}`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SevSnpDocument {
    policy: Option<String>,
    policy_flags: Option<Vec<String>>,
    vmsa_features: String,
    ghcb_version: Option<u32>,
    gosvw: Option<String>,
}

/// `{"attributes", "xfam", "mrconfigid", "mrowner", "mrownerconfig", "cpuid"}`; leaves as they are typed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TdxDocument {
    attributes: Option<String>,
    xfam: Option<String>,
    mrconfigid: Option<String>,
    mrowner: Option<String>,
    mrownerconfig: Option<String>,
    cpuid: Vec<String>,
}

impl From<&v1::SevSnpSettings> for SevSnpDocument {
    fn from(settings: &v1::SevSnpSettings) -> Self {
        let policy = settings
            .guest_policy
            .map(|policy| Policy::from(policy).number());
        Self {
            policy: policy.map(number),
            policy_flags: policy.map(flag_names),
            vmsa_features: number(settings.vmsa_features),
            ghcb_version: (settings.ghcb_version != 0).then_some(settings.ghcb_version),
            gosvw: id(&settings.gosvw),
        }
    }
}

impl From<&v1::TdxSettings> for TdxDocument {
    fn from(settings: &v1::TdxSettings) -> Self {
        Self {
            attributes: settings.attributes.map(number),
            xfam: settings.xfam.map(number),
            mrconfigid: id(&settings.mrconfigid),
            mrowner: id(&settings.mrowner),
            mrownerconfig: id(&settings.mrownerconfig),
            cpuid: settings
                .cpuid
                .iter()
                .map(|leaf| CpuidLeaf::from(leaf).to_string())
                .collect(),
        }
    }
}

fn number(number: u64) -> String {
    format!("{number:#x}")
}

fn id(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| hex(bytes))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_given_is_told_and_the_rest_is_null() {
        let snp = v1::SevSnpSettings {
            guest_policy: Some("smt,debug".parse::<Policy>().unwrap().into()),
            gosvw: vec![0xa5; 16].into(),
            ..v1::SevSnpSettings::default()
        };
        assert_eq!(
            serde_json::to_value(SevSnpDocument::from(&snp)).unwrap(),
            json!({
                "policy": "0xb0000", "policy_flags": ["smt", "debug"], "vmsa_features": "0x0",
                "ghcb_version": null, "gosvw": "a5".repeat(16)
            })
        );
        let leaf: CpuidLeaf = "0x80000008:0x300000:0:0:0".parse().unwrap();
        let tdx = v1::TdxSettings {
            attributes: Some(0x1000_0000),
            cpuid: vec![leaf.into()],
            ..v1::TdxSettings::default()
        };
        assert_eq!(
            serde_json::to_value(TdxDocument::from(&tdx)).unwrap(),
            json!({
                "attributes": "0x10000000", "xfam": null, "mrconfigid": null, "mrowner": null, "mrownerconfig": null,
                "cpuid": ["0x80000008.0x0:0x300000:0x0:0x0:0x0"]
            })
        );
    }
}
