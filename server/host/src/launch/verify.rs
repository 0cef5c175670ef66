//! Checking ledger, existence and contents against each other.

use stagepages_kvm::{Gfn, GfnRange, Gpa};

use super::{Open, Reason, Refusal};
use crate::protocol::MAX_FINDINGS;

/// Pages whose existence is asked for at once.
const WINDOW_PAGES: u64 = 16 * 1024;

/// How a page differs from the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// In the ledger, but it does not exist.
    Missing,
    /// It exists, but not in the ledger.
    Stray,
    /// Its bytes are not those that were installed.
    Contents,
}

/// One difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// The page.
    pub gpa: Gpa,
    /// How it differs.
    pub kind: FindingKind,
}

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Installed pages whose existence was checked.
    pub pages_checked: u64,
    /// Of these, pages whose contents were hashed anew.
    pub contents_checked: u64,
    /// The first differences; at most [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// All differences.
    pub findings_total: u64,
}

impl VerifyReport {
    fn found(&mut self, gfn: Gfn, kind: FindingKind) {
        self.findings_total += 1;
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding {
                gpa: gfn.gpa(),
                kind,
            });
        }
    }
}

impl Open {
    /// Looks at every page of every region, by ascending slot and address. Changes nothing. Calls `beat` now and then, to show that it gets on.
    ///
    /// # Errors
    /// The kernel refused to look, or AbortLaunch came.
    pub(super) fn verify(&self, beat: &dyn Fn()) -> Result<VerifyReport, Refusal> {
        let mut report = VerifyReport::default();
        if !self.platform.sees_pages() {
            // Nobody but the guest can look.
            return Ok(report);
        }
        for region in self.books.memory.regions() {
            let mut done = 0;
            while let Some(window) = region
                .skip(done)
                .and_then(|left| left.take(left.pages().min(WINDOW_PAGES)))
            {
                if self.books.stop.is_set() {
                    return Err(Refusal::new(
                        Reason::AbortedDuringCall,
                        "AbortLaunch stopped the verification",
                    ));
                }
                self.verify_window(window, &mut report)?;
                beat();
                done += window.pages();
            }
        }
        Ok(report)
    }

    fn verify_window(&self, window: GfnRange, report: &mut VerifyReport) -> Result<(), Refusal> {
        let mut existing = vec![0; usize::try_from(window.pages()).unwrap_or(0)];
        self.platform
            .existing(window, &mut existing)
            .map_err(|error| {
                Refusal::new(
                    Reason::KernelRefused,
                    format!("the pages of {window} cannot be looked at: {error}"),
                )
                .kernel(&error)
            })?;
        let mut runs = self.books.ledger.runs_by_gpa(window.start()).peekable();
        for (gfn, exists) in window.iter().zip(existing) {
            while runs.next_if(|run| run.range.last() < gfn).is_some() {}
            let installed = runs.peek().filter(|run| run.range.contains(gfn));
            match (installed, exists & 1 == 1) {
                (None, false) => {}
                (None, true) => report.found(gfn, FindingKind::Stray),
                (Some(_), false) => {
                    report.pages_checked += 1;
                    report.found(gfn, FindingKind::Missing);
                }
                (Some(run), true) => {
                    report.pages_checked += 1;
                    if let Some(page) = self.platform.page(gfn) {
                        report.contents_checked += 1;
                        let ordinal = run.first_ordinal + (gfn.get() - run.range.start().get());
                        if self.books.ledger.hash_at(ordinal)
                            != Some(self.books.hasher().hash(run.page_type, page))
                        {
                            report.found(gfn, FindingKind::Contents);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
