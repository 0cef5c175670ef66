//! Settings: those of the platform that is planned for, and what in them is refused, or seldom meant.
//!
//! **Invariant:** judges what holds on every machine; which bits this one's KVM takes, `stagectl node` tells.

use super::Found;
use crate::{
    plan::{
        Finding, Plan,
        Severity::{Error, Note, Warning},
    },
    sev_snp::flag_names,
    v1::{Platform, SevSnpSettings, TdxSettings},
    words,
};

const SMT: u64 = 1 << 16;
const MUST_BE_ONE: u64 = 1 << 17;
const MIGRATION: u64 = 1 << 18;
const DEBUG: u64 = 1 << 19;
/// The bits that AMD 56860, section 4.3, defines, versions among them.
const DEFINED: u64 = 0x3ff_ffff;
/// Bit 0 of TD attributes.
const TD_DEBUG: u64 = 1;

pub(super) fn check(plan: &Plan, found: &mut Found) {
    for (given, owner) in [
        (plan.sev_snp.is_some(), Platform::SevSnp),
        (plan.finish.is_some(), Platform::SevSnp),
        (plan.tdx.is_some(), Platform::Tdx),
    ] {
        if given && plan.platform != owner {
            let text = format!(
                "the plan is for {} and has settings of {}, which would be refused; leave them out, or plan for {}",
                words::platform(plan.platform.into()),
                words::platform(owner.into()),
                words::platform(owner.into()),
            );
            found.add(Finding::new(Error, "SETTINGS", text));
        }
    }
    match plan.platform {
        Platform::SevSnp => {
            check_policy(plan.guest_policy(), found);
            plan.sev_snp.iter().for_each(|it| check_snp(it, found));
        }
        Platform::Tdx => plan.tdx.iter().for_each(|it| check_tdx(it, found)),
        Platform::Sim | Platform::Kvm | Platform::Unspecified => {}
    }
}

fn check_policy(policy: u64, found: &mut Found) {
    let unknown = policy & !DEFINED;
    let rules = [
        (
            policy & MUST_BE_ONE == 0,
            Error,
            "POLICY_BIT_17",
            "has bit 17 clear, which firmware wants to be one; set it".to_owned(),
        ),
        (
            policy & DEBUG != 0,
            Warning,
            "POLICY_DEBUG",
            "allows debugging: the host can read and change the guest; never with secrets, and a report says so: leave bit 19 (debug) clear".to_owned(),
        ),
        (
            policy & MIGRATION != 0,
            Note,
            "POLICY_MIGRATION",
            "allows a migration agent, which KVM has none of; leave bit 18 (migrate-ma) clear unless a verifier wants it".to_owned(),
        ),
        (
            policy & SMT == 0,
            Note,
            "POLICY_SMT",
            "forbids simultaneous multi-threading: firmware refuses it where SMT is on, and Linux before 6.18 everywhere; set bit 16 (smt), or turn SMT off".to_owned(),
        ),
        (
            unknown != 0,
            Warning,
            "POLICY_UNKNOWN",
            format!(
                "has bits that the firmware ABI does not define ({}); clear them unless this machine's `stagectl node` lists them",
                flag_names(unknown).join(", ")
            ),
        ),
    ];
    for (holds, severity, code, text) in rules {
        if holds {
            let text = format!("the guest policy {policy:#x} {text}");
            found.add(Finding::new(severity, code, text));
        }
    }
}

fn check_snp(settings: &SevSnpSettings, found: &mut Found) {
    if settings.ghcb_version == 1 {
        let text = "GHCB protocol version 1 is none of SEV-SNP; give 2 or more, or nothing";
        found.add(Finding::new(Error, "GHCB_VERSION", text));
    }
    length("gosvw", settings.gosvw.len(), 16, found);
}

fn check_tdx(settings: &TdxSettings, found: &mut Found) {
    if settings.attributes.unwrap_or_default() & TD_DEBUG != 0 {
        let text = format!(
            "the TD attributes {:#x} allow debugging: the host can read and change the guest; never with secrets: leave bit 0 clear",
            settings.attributes.unwrap_or_default()
        );
        found.add(Finding::new(Warning, "TD_DEBUG", text));
    }
    length("mrconfigid", settings.mrconfigid.len(), 48, found);
    length("mrowner", settings.mrowner.len(), 48, found);
    length("mrownerconfig", settings.mrownerconfig.len(), 48, found);
}

fn length(field: &str, has: usize, wants: usize, found: &mut Found) {
    if has != 0 && has != wants {
        let text = format!("{field} has {has:#x} bytes; give {wants:#x}, or none");
        found.add(Finding::new(Error, "FIELD_LENGTH", text));
    }
}
