//! Settings of confidential platforms, between the API's types and the launch host's. Pure.
//!
//! What they may hold is the launch host's to say, which asks KVM: lengths and numbers are handed on as they are, and refused there with the field.
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

/// The settings of `sev-snp`.
pub(super) fn sev_snp(given: &v1::SevSnpSettings, wrong: &mut Violations) -> protocol::SevSnp {
    use v1::sev_snp_settings::GuestPolicy;
    let policy = given.guest_policy.as_ref().map(|policy| match policy {
        GuestPolicy::PolicyNumber(number) => *number,
        GuestPolicy::Policy(policy) => policy_number(policy, wrong),
    });
    protocol::SevSnp {
        policy,
        vmsa_features: given.vmsa_features,
        ghcb_version: given.ghcb_version,
        gosvw: given.gosvw.to_vec(),
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
pub(super) fn tdx(given: &v1::TdxSettings) -> protocol::Tdx {
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
        mrconfigid: given.mrconfigid.to_vec(),
        mrowner: given.mrowner.to_vec(),
        mrownerconfig: given.mrownerconfig.to_vec(),
        cpuid: given.cpuid.iter().map(leaf).collect(),
    }
}

/// What the end of staging is given on `sev-snp`.
pub(super) fn finish(given: &v1::SevSnpFinish) -> protocol::SevSnpFinish {
    protocol::SevSnpFinish {
        id_block: given.id_block.to_vec(),
        id_auth: given.id_auth.to_vec(),
        author_key: given.author_key,
        host_data: given.host_data.to_vec(),
        vcek_disabled: given.vcek_disabled,
    }
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
