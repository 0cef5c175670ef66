//! From messages to types and back: what was found out.

use stagepages_kvm::Gpa;

use super as m;
use super::BadMessage;
use crate::{
    launch::{Finding, FindingKind, RejectedCpuid, VerifyReport},
    platform::{Capacity, Check, Facts, PlatformKind, Report},
    settings::{CpuidEntry, SnpInfo, TdxInfo},
};

impl From<&VerifyReport> for m::VerifyReport {
    fn from(report: &VerifyReport) -> Self {
        let finding = |finding: &Finding| m::Finding {
            gpa: finding.gpa.get(),
            kind: finding.kind.number(),
        };
        Self {
            pages_checked: report.pages_checked,
            contents_checked: report.contents_checked,
            findings: report.findings.iter().map(finding).collect(),
            findings_total: report.findings_total,
        }
    }
}

impl TryFrom<m::VerifyReport> for VerifyReport {
    type Error = BadMessage;

    fn try_from(report: m::VerifyReport) -> Result<Self, BadMessage> {
        let finding = |finding: &m::Finding| {
            Ok(Finding {
                gpa: Gpa::new(finding.gpa),
                kind: FindingKind::from_number(finding.kind)?,
            })
        };
        Ok(Self {
            pages_checked: report.pages_checked,
            contents_checked: report.contents_checked,
            findings: report
                .findings
                .iter()
                .map(finding)
                .collect::<Result<_, BadMessage>>()?,
            findings_total: report.findings_total,
        })
    }
}

impl From<&Report> for m::ProbeReport {
    fn from(report: &Report) -> Self {
        let check = |check: &Check| m::ProbeCheck {
            subject: check.subject.clone(),
            ok: check.ok,
            found: check.found.clone(),
            remedy: check.remedy.clone(),
        };
        Self {
            platform: report.platform.number(),
            checks: report.checks.iter().map(check).collect(),
            runs_guests: report.runs_guests,
            facts: Some((&report.facts).into()),
        }
    }
}

impl TryFrom<m::ProbeReport> for Report {
    type Error = BadMessage;

    fn try_from(report: m::ProbeReport) -> Result<Self, BadMessage> {
        let check = |check: m::ProbeCheck| Check {
            subject: check.subject,
            ok: check.ok,
            found: check.found,
            remedy: check.remedy,
        };
        Ok(Self {
            platform: PlatformKind::from_number(report.platform)?,
            checks: report.checks.into_iter().map(check).collect(),
            runs_guests: report.runs_guests,
            facts: report
                .facts
                .map(Facts::try_from)
                .transpose()?
                .unwrap_or_default(),
        })
    }
}

impl From<&Facts> for m::Facts {
    fn from(facts: &Facts) -> Self {
        Self {
            sev_snp: facts.snp.map(|info| m::SevSnpFacts {
                policy_bits: info.policy_bits,
                vmsa_features: info.vmsa_features,
            }),
            tdx: facts.tdx.as_ref().map(|info| m::Tdx {
                attributes: Some(info.attributes),
                xfam: Some(info.xfam),
                cpuid: info.cpuid.iter().map(m::CpuidLeaf::from).collect(),
                ..m::Tdx::default()
            }),
            capacity: facts
                .capacity
                .map(|Capacity { total, in_use }| m::Capacity { total, in_use }),
        }
    }
}

impl TryFrom<m::Facts> for Facts {
    type Error = BadMessage;

    fn try_from(facts: m::Facts) -> Result<Self, BadMessage> {
        let tdx = |tdx: m::Tdx| {
            Ok(TdxInfo {
                attributes: tdx
                    .attributes
                    .ok_or_else(|| BadMessage::new("attributes", "none"))?,
                xfam: tdx.xfam.ok_or_else(|| BadMessage::new("xfam", "none"))?,
                cpuid: tdx.cpuid.iter().map(CpuidEntry::from).collect(),
            })
        };
        Ok(Self {
            snp: facts.sev_snp.map(|facts| SnpInfo {
                policy_bits: facts.policy_bits,
                vmsa_features: facts.vmsa_features,
            }),
            tdx: facts.tdx.map(tdx).transpose()?,
            capacity: facts
                .capacity
                .map(|m::Capacity { total, in_use }| Capacity { total, in_use }),
        })
    }
}

impl From<&RejectedCpuid> for m::RejectedCpuid {
    fn from(rejected: &RejectedCpuid) -> Self {
        Self {
            gpa: rejected.gpa.get(),
            submitted: rejected.submitted.to_vec(),
            corrected: rejected.corrected.to_vec(),
        }
    }
}

impl From<m::RejectedCpuid> for RejectedCpuid {
    fn from(rejected: m::RejectedCpuid) -> Self {
        Self {
            gpa: Gpa::new(rejected.gpa),
            submitted: rejected.submitted.into(),
            corrected: rejected.corrected.into(),
        }
    }
}
