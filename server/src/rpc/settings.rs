//! Settings of confidential platforms, between the API's types and the launch host's. Pure.
//!
//! What they may hold is the launch host's to say, which asks KVM: numbers are handed on as they are, and refused there with the field. Here it is
//! only seen to that bytes have the length that they have on every machine.
//!
//! **Invariant:** nothing is filled in: what the caller left unset reaches the host unset.

use stagepages_host::{
    cpuid_page::{CpuidDifference, CpuidPageEntry},
    launch::{Refusal, RejectedCpuid},
    platform::{Capacity, Facts, PlatformKind},
    protocol,
    settings::CpuidEntry,
};
use stagepages_proto::v1;

use super::{create::Violations, status::ApiError};

/// Refuses settings of a platform that is not the launch's.
pub(super) fn of_another(
    spec: &v1::LaunchSpec,
    platform: Option<PlatformKind>,
    wrong: &mut Violations,
) {
    let given = [
        ("sim", PlatformKind::Sim, spec.sim.is_some()),
        ("sev_snp", PlatformKind::SevSnp, spec.sev_snp.is_some()),
        ("tdx", PlatformKind::Tdx, spec.tdx.is_some()),
    ];
    for (field, of, given) in given {
        // A confidential platform may be the daemon's choice; whether it is this one shows when it is chosen.
        let possible = platform.map_or(of.confidential(), |platform| platform == of);
        if given && !possible {
            let text = format!("is only for platform {of}; leave it unset or name that platform");
            wrong.add(format!("spec.{field}"), text);
        }
    }
}

/// CPUID leaves of a TD at most: what KVM takes (`KVM_MAX_CPUID_ENTRIES`).
const MAX_LEAVES: usize = 256;
/// Bytes of the longest launch digest, with room for a longer hash than today's.
const MAX_DIGEST: usize = 64;

/// Bytes that have one length, or are left out.
fn exactly(wrong: &mut Violations, field: &str, given: &[u8], length: usize) -> Vec<u8> {
    if given.is_empty() || given.len() == length {
        return given.to_vec();
    }
    let text = format!("has {} bytes; give {length}, or none", given.len());
    wrong.add(field, text);
    Vec::new()
}

/// The settings of `sev-snp`.
pub(super) fn sev_snp(given: &v1::SevSnpSettings, wrong: &mut Violations) -> protocol::SevSnp {
    use v1::sev_snp_settings::GuestPolicy;
    let policy = given.guest_policy.as_ref().map(|policy| match policy {
        GuestPolicy::PolicyNumber(number) => *number,
        GuestPolicy::Policy(policy) => policy_number(policy, wrong),
    });
    protocol::SevSnp {
        policy,
        policy_named: matches!(given.guest_policy, Some(GuestPolicy::Policy(_))),
        vmsa_features: given.vmsa_features,
        ghcb_version: given.ghcb_version,
        gosvw: exactly(wrong, "spec.sev_snp.gosvw", &given.gosvw, 16),
    }
}

/// The number of a policy by named bits (AMD 56860, section 4.3).
fn policy_number(policy: &v1::SevSnpPolicy, wrong: &mut Violations) -> u64 {
    let mut version = |field: &str, value: u32| {
        if value > 0xff {
            let text = format!("{value} is more than 255");
            wrong.add(format!("spec.sev_snp.policy.{field}"), text);
        }
        u64::from(value & 0xff)
    };
    let versions =
        version("abi_minor", policy.abi_minor) | version("abi_major", policy.abi_major) << 8;
    let bits = [
        (16, policy.smt),
        (17, true),
        (18, policy.migrate_ma),
        (19, policy.debug),
        (20, policy.single_socket),
        (21, policy.cxl_allow),
        (22, policy.mem_aes_256_xts),
        (23, policy.rapl_dis),
        (24, policy.ciphertext_hiding_dram),
        (25, policy.page_swap_disable),
    ];
    bits.into_iter().fold(versions, |number, (bit, set)| {
        number | u64::from(set) << bit
    })
}

/// The settings of `tdx`.
pub(super) fn tdx(given: &v1::TdxSettings, wrong: &mut Violations) -> protocol::Tdx {
    if given.cpuid.len() > MAX_LEAVES {
        let text = format!(
            "{} leaves; at most {MAX_LEAVES} are taken (GetNodeInfo: tdx.cpuid lists those that can be)",
            given.cpuid.len()
        );
        wrong.add("spec.tdx.cpuid", text);
    }
    let leaf = |entry: &v1::TdxCpuidEntry| protocol::CpuidLeaf {
        function: entry.function,
        index: entry.index,
        eax: entry.eax,
        ebx: entry.ebx,
        ecx: entry.ecx,
        edx: entry.edx,
    };
    protocol::Tdx {
        attributes: given.attributes,
        xfam: given.xfam,
        mrconfigid: exactly(wrong, "spec.tdx.mrconfigid", &given.mrconfigid, 48),
        mrowner: exactly(wrong, "spec.tdx.mrowner", &given.mrowner, 48),
        mrownerconfig: exactly(wrong, "spec.tdx.mrownerconfig", &given.mrownerconfig, 48),
        cpuid: given.cpuid.iter().take(MAX_LEAVES).map(leaf).collect(),
    }
}

/// What the end of staging is given.
///
/// # Errors
/// INVALID_LAUNCH with every field that has a length which it has nowhere.
pub(super) fn finish(given: &v1::FinishLaunchRequest) -> Result<protocol::Finish, ApiError> {
    let mut wrong = Violations::default();
    let digest = &given.expected_launch_digest;
    // Which digest a platform has, if any, is the host's to say.
    if digest.len() > MAX_DIGEST {
        let text = format!(
            "has {} bytes; no launch digest has more than {MAX_DIGEST}",
            digest.len()
        );
        wrong.add("expected_launch_digest", text);
    }
    let sev_snp = given.sev_snp.as_ref().map(|given| protocol::SevSnpFinish {
        id_block: exactly(&mut wrong, "sev_snp.id_block", &given.id_block, 96),
        id_auth: exactly(&mut wrong, "sev_snp.id_auth", &given.id_auth, 4096),
        author_key: given.author_key,
        host_data: exactly(&mut wrong, "sev_snp.host_data", &given.host_data, 32),
        vcek_disabled: given.vcek_disabled,
    });
    wrong.into_error().map_or_else(
        || {
            Ok(protocol::Finish {
                expected_digest: digest.to_vec(),
                sev_snp,
            })
        },
        Err,
    )
}

/// What KVM takes here, put beside what else is known of a platform.
pub(super) fn put_facts(facts: &Facts, info: &mut v1::PlatformInfo) {
    let entry = |entry: &CpuidEntry| v1::TdxCpuidEntry {
        function: entry.function,
        index: entry.index,
        eax: entry.eax,
        ebx: entry.ebx,
        ecx: entry.ecx,
        edx: entry.edx,
    };
    info.sev_snp = facts.snp.map(|snp| v1::SevSnpInfo {
        policy_bits: snp.policy_bits,
        vmsa_features: snp.vmsa_features,
    });
    info.tdx = facts.tdx.as_ref().map(|tdx| v1::TdxInfo {
        attributes: tdx.attributes,
        xfam: tdx.xfam,
        cpuid: tdx.cpuid.iter().map(entry).collect(),
    });
    info.capacity = facts
        .capacity
        .map(|Capacity { total, in_use }| v1::PlatformCapacity { total, in_use });
}

/// A CPUID page that firmware refused, on the wire.
pub(super) fn rejected_cpuid(rejected: &RejectedCpuid) -> v1::RejectedCpuid {
    let entry = |entry: &CpuidPageEntry| v1::CpuidPageEntry {
        eax_in: entry.eax_in,
        ecx_in: entry.ecx_in,
        xcr0_in: entry.xcr0_in,
        xss_in: entry.xss_in,
        eax: entry.eax,
        ebx: entry.ebx,
        ecx: entry.ecx,
        edx: entry.edx,
        reserved: entry.reserved,
    };
    let difference = |difference: &CpuidDifference| v1::CpuidDifference {
        entry: u32::try_from(difference.entry).unwrap_or(u32::MAX),
        submitted: Some(entry(&difference.submitted)),
        wanted: Some(entry(&difference.wanted)),
    };
    v1::RejectedCpuid {
        gpa: rejected.gpa.get(),
        differences: rejected.differences().iter().map(difference).collect(),
        corrected_page: bytes::Bytes::copy_from_slice(&rejected.corrected),
    }
}

/// Blames the field that a launch host named, under `within`, the path of what the host was given.
pub(crate) fn blame(error: ApiError, within: &str, refusal: &Refusal) -> ApiError {
    let field = refusal.field.as_str();
    if field.is_empty() {
        return error;
    }
    // The host's words begin with the field's name, for those who see nothing else.
    let text = refusal.message.strip_prefix(field);
    let text = text.and_then(|text| text.strip_prefix(": "));
    error.field(
        &format!("{within}{field}"),
        text.unwrap_or(&refusal.message),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::reason::Reason;

    #[test]
    fn a_policy_by_names_is_its_number() {
        let mut wrong = Violations::default();
        let all = v1::SevSnpPolicy {
            abi_minor: 0x37,
            abi_major: 1,
            smt: true,
            migrate_ma: true,
            debug: true,
            single_socket: true,
            cxl_allow: true,
            mem_aes_256_xts: true,
            rapl_dis: true,
            ciphertext_hiding_dram: true,
            page_swap_disable: true,
        };
        assert_eq!(policy_number(&all, &mut wrong), 0x3ff_0137);
        assert_eq!(
            policy_number(&v1::SevSnpPolicy::default(), &mut wrong),
            0x2_0000
        );
        let debug = v1::SevSnpPolicy {
            debug: true,
            ..v1::SevSnpPolicy::default()
        };
        assert_eq!(policy_number(&debug, &mut wrong), 0xa_0000);
        assert_eq!(wrong.fields().count(), 0);
        let wide = v1::SevSnpPolicy {
            abi_major: 256,
            ..debug
        };
        policy_number(&wide, &mut wrong);
        assert_eq!(
            wrong.fields().collect::<Vec<_>>(),
            ["spec.sev_snp.policy.abi_major"]
        );
    }

    #[test]
    fn the_host_is_told_whether_a_policy_has_names() {
        use v1::sev_snp_settings::GuestPolicy;
        for (guest_policy, policy, named) in [
            (None, None, false),
            (
                Some(GuestPolicy::PolicyNumber(0x3_0000)),
                Some(0x3_0000),
                false,
            ),
            (
                Some(GuestPolicy::Policy(v1::SevSnpPolicy::default())),
                Some(0x2_0000),
                true,
            ),
        ] {
            let given = v1::SevSnpSettings {
                guest_policy,
                ..v1::SevSnpSettings::default()
            };
            let told = sev_snp(&given, &mut Violations::default());
            assert_eq!((told.policy, told.policy_named), (policy, named));
        }
    }

    #[test]
    fn what_has_a_wrong_length_everywhere_is_named_and_not_handed_on() {
        let mut wrong = Violations::default();
        let long = bytes::Bytes::from(vec![1; 70_000]);
        let snp = v1::SevSnpSettings {
            gosvw: long.clone(),
            ..v1::SevSnpSettings::default()
        };
        assert!(sev_snp(&snp, &mut wrong).gosvw.is_empty());
        let td = v1::TdxSettings {
            mrconfigid: long.clone(),
            mrowner: long.slice(..47),
            mrownerconfig: long.slice(..48),
            cpuid: vec![v1::TdxCpuidEntry::default(); 3000],
            ..v1::TdxSettings::default()
        };
        let handed_on = tdx(&td, &mut wrong);
        assert_eq!(
            (handed_on.mrownerconfig.len(), handed_on.cpuid.len()),
            (48, 256)
        );
        assert_eq!(
            wrong.fields().collect::<Vec<_>>(),
            [
                "spec.sev_snp.gosvw",
                "spec.tdx.cpuid",
                "spec.tdx.mrconfigid",
                "spec.tdx.mrowner"
            ]
        );

        let request = |id_block: &bytes::Bytes, digest: &bytes::Bytes| v1::FinishLaunchRequest {
            expected_launch_digest: digest.clone(),
            sev_snp: Some(v1::SevSnpFinish {
                id_block: id_block.clone(),
                ..v1::SevSnpFinish::default()
            }),
            ..v1::FinishLaunchRequest::default()
        };
        assert_eq!(
            finish(&request(&long.slice(..96), &long.slice(..48)))
                .map(|finish| finish.expected_digest.len()),
            Ok(48)
        );
        let error = finish(&request(&long, &long)).unwrap_err();
        assert_eq!(error.reason(), Reason::InvalidLaunch);
        let text = error.to_string();
        for field in ["expected_launch_digest", "sev_snp.id_block"] {
            assert_eq!(text.matches(field).count(), 1, "{text}");
        }
    }

    #[test]
    fn a_field_that_a_host_names_is_blamed_once() {
        let words = "is not taken; ".repeat(30);
        let refusal = Refusal {
            field: "sev_snp.id_block".to_owned(),
            ..Refusal::new(
                stagepages_host::launch::Reason::InvalidLaunch,
                format!("sev_snp.id_block: {words}"),
            )
        };
        let error = ApiError::new(Reason::InvalidLaunch, refusal.message.as_str());
        let text = blame(error, "", &refusal).to_string();
        assert_eq!(text.matches("sev_snp.id_block").count(), 1, "{text}");
        assert_eq!(text.matches("INVALID_LAUNCH").count(), 1, "{text}");
    }

    #[test]
    fn settings_of_another_platform_are_refused_and_of_a_possible_one_are_not() {
        let spec = v1::LaunchSpec {
            sev_snp: Some(v1::SevSnpSettings::default()),
            sim: Some(v1::SimSettings::default()),
            ..v1::LaunchSpec::default()
        };
        let fields = |platform| {
            let mut wrong = Violations::default();
            of_another(&spec, platform, &mut wrong);
            wrong.fields().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(fields(None), ["spec.sim"]);
        assert_eq!(fields(Some(PlatformKind::SevSnp)), ["spec.sim"]);
        assert_eq!(fields(Some(PlatformKind::Sim)), ["spec.sev_snp"]);
        assert_eq!(
            fields(Some(PlatformKind::Tdx)),
            ["spec.sim", "spec.sev_snp"]
        );
    }
}
