//! From messages to types and back: the ledger.

use stagepages_kvm::{GfnRange, Gpa};

use super as m;
use super::BadMessage;
use crate::{
    launch::{Order, RunsPage},
    ledger::{PageHash, Run},
};

impl m::ListRuns {
    /// The order asked for.
    #[must_use]
    pub fn order(&self) -> Order {
        if self.by_installation {
            Order::Installation
        } else {
            Order::Gpa
        }
    }

    /// Most runs of the answer.
    #[must_use]
    pub fn most_runs(&self) -> usize {
        usize::try_from(self.max_runs)
            .unwrap_or(m::MAX_PAGE_RUNS)
            .min(m::MAX_PAGE_RUNS)
    }
}

impl From<&RunsPage> for m::RunsPage {
    fn from(page: &RunsPage) -> Self {
        let run = |(run, hashes): &(Run, Vec<PageHash>)| m::Run {
            gpa: run.range.start().gpa().get(),
            pages: run.range.pages(),
            page_type: m::page_type_number(run.page_type),
            first_ordinal: run.first_ordinal,
            uniform: run.uniform,
            hashes: hashes.iter().flat_map(|hash| hash.0).collect(),
        };
        Self {
            runs: page.runs.iter().map(run).collect(),
            next: page.next,
        }
    }
}

impl TryFrom<&m::Run> for Run {
    type Error = BadMessage;

    /// The run without its hashes.
    fn try_from(run: &m::Run) -> Result<Self, BadMessage> {
        let bytes = run.pages.checked_mul(stagepages_kvm::PAGE_SIZE);
        let range = bytes.and_then(|bytes| GfnRange::from_bytes(Gpa::new(run.gpa), bytes).ok());
        let range = range.ok_or_else(|| BadMessage::new("run", "no range of pages"))?;
        Ok(Self {
            range,
            page_type: m::page_type_from_number(run.page_type)?,
            first_ordinal: run.first_ordinal,
            uniform: run.uniform,
        })
    }
}
