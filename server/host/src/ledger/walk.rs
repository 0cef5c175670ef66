//! Ways through the ledger: by GPA, by order of installation, and the hashes of a run.
//!
//! Both walks begin at any position, inside a run too, so that a listing that was cut into answers goes on exactly where it stopped.
//!
//! **Invariant:** a walk borrows the ledger and copies nothing but the run at hand; it costs the same however large the ledger is.

use std::ops::Bound;

use stagepages_kvm::Gfn;

use super::{Ledger, PageHash, Run};

impl Ledger {
    /// The installed pages from `from` on in ascending order of GPA, as runs. A run that holds `from` is cut to begin
    /// there.
    ///
    /// Neighbours in this order are separate runs where they were not installed one after the other.
    pub fn runs_by_gpa(&self, from: Gfn) -> impl Iterator<Item = Run> + '_ {
        let first = self
            .run_holding(from)
            .and_then(|run| run.skip(from.get() - run.range.start().get()));
        let behind = self.index.range((Bound::Excluded(from), Bound::Unbounded));
        first
            .into_iter()
            .chain(behind.filter_map(|(_, number)| self.runs.get(number.get())))
    }

    /// The installed pages from the ordinal `from` on in order of installation, as runs. A run that holds `from` is cut to
    /// begin there.
    ///
    /// Pages that are installed later come later: nothing moves in this order.
    pub fn runs_by_installation(&self, from: u64) -> impl Iterator<Item = Run> + '_ {
        let number = self.runs.number_at(from).unwrap_or(self.runs.len());
        let first = self
            .runs
            .get(number)
            .and_then(|run| run.skip(from - run.first_ordinal));
        first
            .into_iter()
            .chain((number + 1..self.runs.len()).filter_map(|number| self.runs.get(number)))
    }

    /// The hash of the page that was installed with this ordinal.
    #[must_use]
    pub fn hash_at(&self, ordinal: u64) -> Option<PageHash> {
        let (slot, _) = self.runs.hash_slot(ordinal)?;
        self.hashes.get(slot)
    }

    /// The hashes of a run of this ledger or of a part of one: one a page, in order; of a uniform run the same one each
    /// time.
    ///
    /// Those of a private type ([`hash_is_private`](super::hash_is_private)) are for comparing inside the host only.
    pub fn hashes(&self, run: &Run) -> impl Iterator<Item = PageHash> + '_ {
        let (first, stride) = self
            .runs
            .hash_slot(run.first_ordinal)
            .unwrap_or((self.hashes.len(), 1));
        (0..run.range.pages()).map_while(move |page| self.hashes.get(first + stride * page))
    }
}
