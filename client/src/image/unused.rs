//! What was asked for and changes nothing in a plan, whatever the image: told, so that nobody takes it for done.
//!
//! **Invariant:** looks only at the plan and the options, and changes nothing but the findings.

use super::Options;
use crate::{
    plan::{Finding, Plan, Severity, registers},
    v1::{PageType, Platform},
    words,
};

/// The plan, with a finding for each option that has no effect on it.
pub(super) fn told(mut plan: Plan, options: &Options) -> Plan {
    let found = [
        sev_snp(&plan, options),
        tdx(&plan, options),
        cpuid_page(&plan, options),
        vcpu_type(&plan, options),
    ];
    plan.findings.extend(found.into_iter().flatten());
    plan
}

fn sev_snp(plan: &Plan, options: &Options) -> Option<Finding> {
    if options.sev_snp.is_empty() {
        return None;
    }
    let text = match plan.platform {
        Platform::SevSnp => return None,
        Platform::Sim => {
            "sim takes no settings of sev-snp: the digest is that of a launch without SEV_FEATURES beside SNP_ACTIVE; plan for sev-snp to have them".to_owned()
        }
        other @ (Platform::Kvm | Platform::Tdx | Platform::Unspecified) => foreign(other, "sev-snp"),
    };
    Some(warning("SETTINGS_UNUSED", text))
}

fn tdx(plan: &Plan, options: &Options) -> Option<Finding> {
    let is_unused = !options.tdx.is_empty() && plan.platform != Platform::Tdx;
    is_unused.then(|| warning("SETTINGS_UNUSED", foreign(plan.platform, "tdx")))
}

fn foreign(platform: Platform, settings: &str) -> String {
    let platform = words::platform(platform.into());
    format!(
        "{platform} takes no settings of {settings}, and those that were given are in no launch of this plan; leave them out, or plan for {settings}"
    )
}

fn cpuid_page(plan: &Plan, options: &Options) -> Option<Finding> {
    let has_place = { plan.extents.iter() }.any(|it| it.page_type() == PageType::Cpuid);
    let is_unused = options.cpuid_page.is_some() && !has_place;
    is_unused.then(|| {
        let text = "a CPUID page was given and the plan has no place for it; it is not installed";
        warning("CPUID_UNUSED", text.to_owned())
    })
}

fn vcpu_type(plan: &Plan, options: &Options) -> Option<Finding> {
    let signature = options.cpu_signature?;
    let text = match plan.platform {
        Platform::SevSnp | Platform::Sim => {
            let others = without(plan, signature);
            if others.is_empty() {
                return None;
            }
            format!(
                "the vCPU type with the processor signature {signature:#x} has no effect on {} {}, whose beginning, RDX too, is the image's to say; leave the type out, or have that signature in RDX in the image",
                if others.len() == 1 { "vCPU" } else { "vCPUs" },
                ranges(&others)
            )
        }
        other @ (Platform::Kvm | Platform::Tdx | Platform::Unspecified) => format!(
            "a vCPU type was given, and {} measures no vCPUs; leave it out, or plan for sev-snp",
            words::platform(other.into())
        ),
    };
    Some(warning("VCPU_TYPE_UNUSED", text))
}

/// The indices of vCPUs that do not begin with this signature in RDX, ascending.
fn without(plan: &Plan, signature: u32) -> Vec<u32> {
    { plan.vcpus.iter() }
        .filter(|it| registers(it).is_none_or(|it| it.general.rdx != u64::from(signature)))
        .map(|it| it.index)
        .collect()
}

/// Ascending numbers, neighbours joined: `0..3, 5`.
fn ranges(numbers: &[u32]) -> String {
    let runs = numbers.chunk_by(|one, next| one + 1 == *next);
    let texts = runs.filter_map(|run| match run {
        [] => None,
        [only] => Some(only.to_string()),
        [first, .., last] => Some(format!("{first}..{last}")),
    });
    texts.collect::<Vec<_>>().join(", ")
}

fn warning(code: &'static str, text: String) -> Finding {
    Finding::new(Severity::Warning, code, text)
}
