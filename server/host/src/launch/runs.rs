//! Reading a ledger in parts, each of which fits a frame.
//!
//! The ledger of a living launch is in its host's memory, that of an ended one in a file of the daemon's. [`cut`] makes the parts of either, so that who reads
//! on cannot tell in which of the two the last part ended.
//!
//! **Invariant:** no hash that has to stay in the host is ever asked for, wherever the ledger is.

use std::convert::Infallible;

use stagepages_kvm::Gfn;

use crate::{
    ledger::{Ledger, PageHash, Run, hash_is_private},
    protocol::MAX_PAGE_HASHES,
};

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

/// A ledger, wherever it is.
pub trait Listing {
    /// Why it cannot be read.
    type Error;

    /// The runs from a position on; one that holds the position is cut to begin there.
    fn runs_from(
        &self,
        order: Order,
        from: u64,
    ) -> Box<dyn Iterator<Item = Result<Run, Self::Error>> + '_>;

    /// The hashes of a run, or of a part of one: one a page, or one in all if it is uniform. Never asked for a private type.
    ///
    /// # Errors
    /// The ledger cannot be read.
    fn hashes_of(&self, run: &Run) -> Result<Vec<PageHash>, Self::Error>;
}

impl Listing for Ledger {
    type Error = Infallible;

    fn runs_from(
        &self,
        order: Order,
        from: u64,
    ) -> Box<dyn Iterator<Item = Result<Run, Infallible>> + '_> {
        match order {
            Order::Installation => Box::new(self.runs_by_installation(from).map(Ok)),
            Order::Gpa => match Gfn::new(from) {
                Some(from) => Box::new(self.runs_by_gpa(from).map(Ok)),
                None => Box::new(std::iter::empty()),
            },
        }
    }

    fn hashes_of(&self, run: &Run) -> Result<Vec<PageHash>, Infallible> {
        Ok(if run.uniform {
            self.hash_at(run.first_ordinal).into_iter().collect()
        } else {
            self.hashes(run).collect()
        })
    }
}

/// [`cut`] of a ledger in memory, which can always be read.
pub(super) fn of_ledger(
    ledger: &Ledger,
    order: Order,
    from: u64,
    hashes: bool,
    max_runs: usize,
) -> RunsPage {
    let Ok(page) = cut(ledger, order, from, hashes, max_runs);
    page
}

/// At most `max_runs` runs from position `from` on, cut so that no more than [`MAX_PAGE_HASHES`] hashes come.
///
/// # Errors
/// The ledger cannot be read.
pub fn cut<L: Listing + ?Sized>(
    ledger: &L,
    order: Order,
    from: u64,
    hashes: bool,
    max_runs: usize,
) -> Result<RunsPage, L::Error> {
    let mut room = MAX_PAGE_HASHES;
    let mut page = RunsPage {
        runs: Vec::new(),
        next: None,
    };
    for run in ledger.runs_from(order, from) {
        let run = run?;
        let position = match order {
            Order::Gpa => run.range.start().get(),
            Order::Installation => run.first_ordinal,
        };
        if page.runs.len() >= max_runs.max(1) || room == 0 {
            page.next = Some(position);
            break;
        }
        if !hashes || hash_is_private(run.page_type) {
            page.runs.push((run, Vec::new()));
            continue;
        }
        let fits = if run.uniform {
            run.range.pages()
        } else {
            run.range.pages().min(room as u64)
        };
        let Some(part) = run.take(fits) else {
            break;
        };
        let listed = ledger.hashes_of(&part)?;
        room -= listed.len().min(room);
        page.runs.push((part, listed));
        if fits < run.range.pages() {
            page.next = Some(position + fits);
            break;
        }
    }
    Ok(page)
}
