//! Findings, told once each: what many headers have in common is counted, so that no file makes a finding of every header.
//!
//! **Invariant:** as many findings as there are kinds and vCPUs, however many headers a file has.

use std::collections::BTreeMap;

use crate::plan::{Finding, Severity};

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Notes {
    list: Vec<Finding>,
    /// By code: where in the list, and how many more of them there were.
    seen: BTreeMap<&'static str, (usize, u64)>,
}

impl Notes {
    /// Tells it, whatever was told before. For what is bounded by the number of vCPUs.
    pub(super) fn tell(&mut self, finding: Finding) {
        self.list.push(finding);
    }

    /// Tells the first with this code; any other is counted.
    pub(super) fn once(
        &mut self,
        severity: Severity,
        code: &'static str,
        offset: u64,
        message: impl FnOnce() -> String,
    ) {
        if let Some((_, more)) = self.seen.get_mut(code) {
            *more += 1;
            return;
        }
        self.seen.insert(code, (self.list.len(), 0));
        self.list
            .push(Finding::new(severity, code, message()).at_offset(offset));
    }

    /// All of them, in the order in which each was found first.
    pub(super) fn take(mut self) -> Vec<Finding> {
        for (at, more) in self.seen.into_values().filter(|(_, more)| *more > 0) {
            if let Some(finding) = self.list.get_mut(at) {
                finding.message += &format!(" (and {more} more such)");
            }
        }
        self.list
    }
}
