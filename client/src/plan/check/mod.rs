//! Checks of a plan: what the daemon, KVM or firmware would refuse, and what is probably not meant.
//!
//! | module     | codes                                                                                                             |
//! |------------|-------------------------------------------------------------------------------------------------------------------|
//! | `memory`   | NO_MEMORY, REGION_COUNT, REGION_UNALIGNED, REGION_OVERLAP, REGION_BEYOND                                          |
//! | `extents`  | NO_PAGES, UNALIGNED, OVERLAP, OUTSIDE_MEMORY                                                                      |
//! | `types`    | PAGE_TYPE, CONTENTS, CPUID_PAGES, SECRETS_PAGES                                                                   |
//! | `vcpus`    | VCPU_COUNT, VCPU_INDEX, VCPU_STATE                                                                                |
//! | `registers` | VCPU_REGISTER, VCPU_NORMALISED                                                                                   |
//! | `settings` | SETTINGS, POLICY_BIT_17, POLICY_DEBUG, POLICY_MIGRATION, POLICY_SMT, POLICY_UNKNOWN, GHCB_VERSION, TD_DEBUG, FIELD_LENGTH |
//! | `cost`     | UNREADABLE, NORMAL_ZEROS, SLOW                                                                                    |
//! | `finish`   | DIGEST_MISMATCH, ID_BLOCK_LENGTH, ID_BLOCK_POLICY, ID_BLOCK_DIGEST, ID_BLOCK_SIGNATURE, ID_AUTH                   |
//!
//! Loaders add what only they can see: sections that they do not know, for example. All of it is in [`Plan::findings`] and what [`Plan::check`] returns.
//!
//! The last two read contents, which takes as long as there are pages: of a plan with errors before them none are read.
//!
//! **Invariant:** a plan without an error finding is one that no rule known here refuses; what a machine lacks, its daemon alone knows.

mod cost;
mod extents;
mod finish;
mod memory;
mod registers;
mod settings;
#[cfg(test)]
mod tests;
mod types;
mod vcpus;

use super::{Finding, Plan, Severity};

/// Findings of one code that are shown one by one. An image can have hundreds of thousands of extents, and each could be wrong.
const MOST_ALIKE: usize = 16;

/// What there is to say of a plan before it is staged.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// Its loader's findings and those of every check, the worst first, and of one severity in order of appearance.
    pub findings: Vec<Finding>,
    /// Whether its digest is worth computing: no finding is an error but those of what it must end in. No launch of any other gets that far, and an image
    /// that lies may claim so many pages that hashing them takes minutes.
    pub is_measured: bool,
}

impl Judgement {
    /// The findings that are errors. With any the plan is not to be staged.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        let findings = self.findings.iter();
        findings.filter(|finding| finding.severity == Severity::Error)
    }
}

impl Plan {
    /// The findings of [`Plan::judge`].
    #[must_use]
    pub fn check(&self) -> Vec<Finding> {
        self.judge().findings
    }

    /// Holds it against every rule known here. Reads the files of the plan once, and once more where it says what it must end in.
    #[must_use]
    pub fn judge(&self) -> Judgement {
        let mut found = Found::default();
        memory::check(self, &mut found);
        extents::check(self, &mut found);
        types::check(self, &mut found);
        vcpus::check(self, &mut found);
        settings::check(self, &mut found);
        let is_loaded = self.findings.iter().all(|it| it.severity < Severity::Error);
        if is_loaded && !found.has_errors() {
            cost::check(self, &mut found);
        }
        let is_measured = is_loaded && !found.has_errors();
        finish::check(self, is_measured, &mut found);
        let mut findings = self.findings.clone();
        findings.extend(found.into_findings());
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Judgement {
            findings,
            is_measured,
        }
    }
}

/// Findings so far, few of each code.
#[derive(Debug, Default)]
struct Found {
    shown: Vec<Finding>,
    /// The last shown of each code that came too often, and how often it came after that.
    more: Vec<(Finding, u64)>,
}

impl Found {
    fn add(&mut self, finding: Finding) {
        if let Some((_, count)) = self.more.iter_mut().find(|(it, _)| it.code == finding.code) {
            *count += 1;
            return;
        }
        let alike = self.shown.iter().filter(|it| it.code == finding.code);
        if alike.count() < MOST_ALIKE {
            self.shown.push(finding);
        } else {
            self.more.push((finding, 1));
        }
    }

    fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }

    /// Those that came too often are among the shown as well.
    fn has_errors(&self) -> bool {
        { self.shown.iter() }.any(|it| it.severity == Severity::Error)
    }

    fn into_findings(self) -> Vec<Finding> {
        let rest = self.more.into_iter().map(|(like, count)| {
            let message = format!("{count} more of this kind; mend those that are shown first");
            Finding::new(like.severity, like.code, message)
        });
        self.shown.into_iter().chain(rest).collect()
    }
}
