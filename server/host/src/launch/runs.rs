//! Reading the ledger in parts.

use stagepages_kvm::{Gfn, PageType};

use super::books::Books;
use crate::ledger::{PageHash, Run};

/// An order of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Ascending GPA; positions are frame numbers.
    Gpa,
    /// As installed; positions are ordinals.
    Installation,
}

/// A part of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunsPage {
    /// Runs, and the hashes that may leave the host.
    pub runs: Vec<(Run, Vec<PageHash>)>,
    /// Where the next part begins; `None` at the end.
    pub next: Option<u64>,
}

impl Books {
    /// At most `max_runs` runs from position `from` on, cut so that no more than [`crate::protocol::MAX_PAGE_HASHES`] hashes come.
    pub(super) fn runs(&self, order: Order, from: u64, hashes: bool, max_runs: usize) -> RunsPage {
        let mut room = crate::protocol::MAX_PAGE_HASHES;
        let mut page = RunsPage {
            runs: Vec::new(),
            next: None,
        };
        let after_last = RunsPage {
            runs: Vec::new(),
            next: None,
        };
        let runs: Box<dyn Iterator<Item = Run>> = match order {
            Order::Installation => Box::new(self.ledger.runs_by_installation(from)),
            Order::Gpa => match Gfn::new(from) {
                Some(from) => Box::new(self.ledger.runs_by_gpa(from)),
                None => return after_last,
            },
        };
        for run in runs {
            let position = match order {
                Order::Gpa => run.range.start().get(),
                Order::Installation => run.first_ordinal,
            };
            if page.runs.len() >= max_runs.max(1) || room == 0 {
                page.next = Some(position);
                break;
            }
            if !hashes || matches!(run.page_type, PageType::Secrets | PageType::Unmeasured) {
                page.runs.push((run, Vec::new()));
                continue;
            }
            let fits = if run.uniform {
                run.range.pages()
            } else {
                run.range.pages().min(room as u64)
            };
            let Some(range) = run.range.take(fits) else {
                break;
            };
            let cut = Run { range, ..run };
            let listed: Vec<_> = if run.uniform {
                self.ledger.hash_at(run.first_ordinal).into_iter().collect()
            } else {
                self.ledger.hashes(&cut).collect()
            };
            room -= listed.len().min(room);
            page.runs.push((cut, listed));
            if fits < run.range.pages() {
                page.next = Some(position + fits);
                break;
            }
        }
        page
    }
}
