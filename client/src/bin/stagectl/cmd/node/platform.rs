//! One platform as JSON.
//!
//! Masks are strings in hex, flags their names, CPUID leaves as they are typed (`"0x7.0x0:…"`), with the bits that can be configured. What does not apply or is not known
//! is null: `sev_snp` and `tdx` where KVM could not be asked, `policy_bits` where the kernel does not say, `capacity` where it does not count,
//! `queue` where no firmware is scheduled.
//!
//! **Invariant:** checks keep the daemon's order, and none is left out.

use std::time::Duration;

use serde::Serialize;
use stagepages_client::{sev_snp::flag_names, tdx::CpuidLeaf, v1, words};

/// What one platform can do.
#[derive(Debug, Serialize)]
pub(super) struct PlatformDocument {
    pub(super) platform: String,
    pub(super) available: bool,
    pub(super) confidential: bool,
    pub(super) page_types: Vec<String>,
    pub(super) launch_digest_bytes: u32,
    pub(super) verifies_contents: bool,
    pub(super) runs_guests: bool,
    pub(super) host_program: Option<String>,
    pub(super) checks: Vec<CheckDocument>,
    pub(super) sev_snp: Option<SevSnpDocument>,
    pub(super) tdx: Option<TdxDocument>,
    pub(super) capacity: Option<CapacityDocument>,
    pub(super) queue: Option<QueueDocument>,
}

/// One thing that it needs.
#[derive(Debug, Serialize)]
pub(super) struct CheckDocument {
    pub(super) subject: String,
    pub(super) ok: bool,
    pub(super) found: String,
    pub(super) remedy: String,
}

/// What KVM takes on `sev-snp`.
#[derive(Debug, Serialize)]
pub(super) struct SevSnpDocument {
    pub(super) policy_bits: Option<String>,
    pub(super) policy_flags: Option<Vec<String>>,
    pub(super) vmsa_features: String,
    pub(super) vmsa_feature_flags: Vec<String>,
}

/// What KVM takes on `tdx`.
#[derive(Debug, Serialize)]
pub(super) struct TdxDocument {
    pub(super) attributes: String,
    pub(super) xfam: String,
    pub(super) cpuid: Vec<String>,
}

/// How many guests fit.
#[derive(Debug, Serialize)]
pub(super) struct CapacityDocument {
    pub(super) total: u64,
    pub(super) in_use: u64,
}

/// The launches that wait for the platform's firmware.
#[derive(Debug, Serialize)]
pub(super) struct QueueDocument {
    pub(super) launches: u32,
    pub(super) pages: u64,
    pub(super) page_seconds: f64,
    pub(super) expected_seconds: f64,
}

impl From<&v1::PlatformQueue> for QueueDocument {
    fn from(queue: &v1::PlatformQueue) -> Self {
        Self {
            launches: queue.launches,
            pages: queue.pages,
            page_seconds: seconds(queue.page_time),
            expected_seconds: seconds(queue.expected_time),
        }
    }
}

/// Nothing for a time that is none.
fn seconds(time: Option<prost_types::Duration>) -> f64 {
    let time = time.and_then(|time| Duration::try_from(time).ok());
    time.unwrap_or_default().as_secs_f64()
}

impl From<&v1::PlatformInfo> for PlatformDocument {
    fn from(info: &v1::PlatformInfo) -> Self {
        let check = |check: &v1::Check| CheckDocument {
            subject: check.subject.clone(),
            ok: check.ok,
            found: check.found.clone(),
            remedy: check.remedy.clone(),
        };
        Self {
            platform: words::platform(info.platform).into(),
            available: info.available,
            confidential: info.confidential,
            page_types: info
                .page_types
                .iter()
                .map(|value| words::page_type(*value).into())
                .collect(),
            launch_digest_bytes: info.launch_digest_bytes,
            verifies_contents: info.verifies_contents,
            runs_guests: info.runs_guests,
            host_program: (!info.host_program.is_empty()).then(|| info.host_program.clone()),
            checks: info.checks.iter().map(check).collect(),
            sev_snp: info.sev_snp.as_ref().map(SevSnpDocument::from),
            tdx: info.tdx.as_ref().map(TdxDocument::from),
            capacity: info.capacity.map(|capacity| CapacityDocument {
                total: capacity.total,
                in_use: capacity.in_use,
            }),
            queue: info.queue.as_ref().map(QueueDocument::from),
        }
    }
}

impl From<&v1::SevSnpInfo> for SevSnpDocument {
    fn from(info: &v1::SevSnpInfo) -> Self {
        Self {
            policy_bits: info.policy_bits.map(hex),
            policy_flags: info.policy_bits.map(flag_names),
            vmsa_features: hex(info.vmsa_features),
            vmsa_feature_flags: vmsa_flags(info.vmsa_features),
        }
    }
}

impl From<&v1::TdxInfo> for TdxDocument {
    fn from(info: &v1::TdxInfo) -> Self {
        let leaf = |leaf: &v1::TdxCpuidEntry| CpuidLeaf::from(leaf).to_string();
        Self {
            attributes: hex(info.attributes),
            xfam: hex(info.xfam),
            cpuid: info.cpuid.iter().map(leaf).collect(),
        }
    }
}

/// SEV_FEATURES by name (AMD 24593, table "SEV_FEATURES"), and `bit 11` for one without, lowest first.
fn vmsa_flags(features: u64) -> Vec<String> {
    const NAMES: [(u32, &str); 14] = [
        (0, "snp-active"),
        (1, "vtom"),
        (2, "reflect-vc"),
        (3, "restricted-injection"),
        (4, "alternate-injection"),
        (5, "debug-swap"),
        (6, "prevent-host-ibs"),
        (7, "btb-isolation"),
        (8, "vmpl-sss"),
        (9, "secure-tsc"),
        (10, "vmgexit-parameter"),
        (12, "ibs-virtualization"),
        (14, "vmsa-register-protection"),
        (15, "smt-protection"),
    ];
    let name = |bit: u32| match NAMES.iter().find(|(known, _)| *known == bit) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("bit {bit}"),
    };
    (0..u64::BITS)
        .filter(|bit| features >> bit & 1 == 1)
        .map(name)
        .collect()
}

fn hex(number: u64) -> String {
    format!("{number:#x}")
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;

    #[test]
    fn what_kvm_takes_is_told_by_name_and_number() {
        let info = v1::PlatformInfo {
            platform: v1::Platform::SevSnp.into(),
            sev_snp: Some(v1::SevSnpInfo {
                policy_bits: Some(0x41f_ffff),
                vmsa_features: 0xa20,
            }),
            capacity: Some(v1::PlatformCapacity {
                total: 99,
                in_use: 12,
            }),
            ..v1::PlatformInfo::default()
        };
        let json = to_value(PlatformDocument::from(&info)).unwrap();
        assert_eq!(
            json["sev_snp"],
            json!({
                "policy_bits": "0x41fffff",
                "policy_flags": ["smt", "migrate-ma", "debug", "single-socket", "bit 26"],
                "vmsa_features": "0xa20",
                "vmsa_feature_flags": ["debug-swap", "secure-tsc", "bit 11"],
            })
        );
        assert_eq!(json["capacity"], json!({"total": 99, "in_use": 12}));
        assert!(json["tdx"].is_null());
    }

    #[test]
    fn what_the_kernel_does_not_say_is_null() {
        let info = v1::PlatformInfo {
            sev_snp: Some(v1::SevSnpInfo::default()),
            tdx: Some(v1::TdxInfo {
                attributes: 0x1000_0000,
                xfam: 0x2e7,
                cpuid: vec![v1::TdxCpuidEntry {
                    function: 7,
                    ebx: 0x20,
                    ..v1::TdxCpuidEntry::default()
                }],
            }),
            ..v1::PlatformInfo::default()
        };
        let json = to_value(PlatformDocument::from(&info)).unwrap();
        assert!(json["sev_snp"]["policy_bits"].is_null());
        assert!(json["sev_snp"]["policy_flags"].is_null());
        assert_eq!(json["sev_snp"]["vmsa_feature_flags"], json!([]));
        assert_eq!(
            json["tdx"],
            json!({"attributes": "0x10000000", "xfam": "0x2e7", "cpuid": ["0x7.0x0:0x0:0x20:0x0:0x0"]})
        );
        assert!(json["capacity"].is_null() && json["host_program"].is_null());
    }
}
