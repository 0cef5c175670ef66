//! Runs: pages of one type that follow each other both in GFN and in order of installation, packed small.
//!
//! **Invariant:** the runs, in order of their numbers, cover every ordinal once and without a gap; only the last one grows.

use stagepages_kvm::{Gfn, GfnRange, PageType};

use super::chunked::Chunked;
use super::u40::U40;

/// Runs that are allocated together: about 4 KiB.
const RUNS_PER_CHUNK: usize = 256;

/// Consecutive pages of one type that were installed one after the other, or a part of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The pages.
    pub range: GfnRange,
    /// Their type.
    pub page_type: PageType,
    /// How many pages of the launch were installed before the first of them.
    pub first_ordinal: u64,
    /// Whether all of them hold the same bytes, and share one hash.
    pub uniform: bool,
}

impl Run {
    /// Its first `pages` pages, or all if it has fewer; `None` for zero.
    #[must_use]
    pub fn take(self, pages: u64) -> Option<Self> {
        let range = self.range.take(pages)?;
        Some(Self { range, ..self })
    }

    /// What is left of it after its first `pages` pages; `None` if nothing is.
    #[must_use]
    pub fn skip(self, pages: u64) -> Option<Self> {
        let range = self.range.skip(pages)?;
        Some(Self {
            range,
            first_ordinal: self.first_ordinal + pages,
            ..self
        })
    }
}

/// What opens a run.
#[derive(Clone, Copy)]
pub(super) struct NewRun {
    pub(super) range: GfnRange,
    pub(super) page_type: PageType,
    pub(super) uniform: bool,
    /// Where its hashes begin.
    pub(super) first_hash: u64,
}

/// All runs, numbered in order of installation.
pub(super) struct RunTable {
    records: Chunked<Record, RUNS_PER_CHUNK>,
    pages: u64,
}

/// A run as it is kept. Its length is not: it ends where the next one begins, or with the last page.
#[derive(Clone, Copy)]
struct Record {
    start: U40,
    first_ordinal: U40,
    first_hash: U40,
    page_type: PageType,
    uniform: bool,
}

// A scattered page has a record of its own, and 96 bytes of heap in all.
const _: () = assert!(size_of::<Record>() == 17);

impl RunTable {
    pub(super) const fn new() -> Self {
        Self {
            records: Chunked::new(),
            pages: 0,
        }
    }

    /// How many runs there are.
    pub(super) fn len(&self) -> u64 {
        self.records.len()
    }

    /// How many pages all runs have.
    pub(super) const fn pages(&self) -> u64 {
        self.pages
    }

    /// Opens a run behind the last one; returns its number.
    pub(super) fn push(&mut self, run: NewRun) -> u64 {
        let number = self.records.len();
        self.records.push(Record {
            start: U40::new(run.range.start().get()),
            first_ordinal: U40::new(self.pages),
            first_hash: U40::new(run.first_hash),
            page_type: run.page_type,
            uniform: run.uniform,
        });
        self.pages += run.range.pages();
        number
    }

    /// Makes the last run longer.
    pub(super) const fn lengthen_last(&mut self, pages: u64) {
        self.pages += pages;
    }

    pub(super) fn get(&self, number: u64) -> Option<Run> {
        let record = self.records.get(number)?;
        let first_ordinal = record.first_ordinal.get();
        let end = self
            .records
            .get(number + 1)
            .map_or(self.pages, |next| next.first_ordinal.get());
        Some(Run {
            range: unpack(record.start, end - first_ordinal),
            page_type: record.page_type,
            first_ordinal,
            uniform: record.uniform,
        })
    }

    pub(super) fn last(&self) -> Option<Run> {
        self.get(self.len().checked_sub(1)?)
    }

    /// The number of the run that holds the page with this ordinal.
    pub(super) fn number_at(&self, ordinal: u64) -> Option<u64> {
        if ordinal >= self.pages {
            return None;
        }
        self.records
            .partition_point(|run| run.first_ordinal.get() <= ordinal)
            .checked_sub(1)
    }

    /// Where the hash of the page with this ordinal is, and how far from there the next page's: 0 in a uniform run, else 1.
    pub(super) fn hash_slot(&self, ordinal: u64) -> Option<(u64, u64)> {
        let record = self.records.get(self.number_at(ordinal)?)?;
        let stride = u64::from(!record.uniform);
        Some((
            record.first_hash.get() + stride * (ordinal - record.first_ordinal.get()),
            stride,
        ))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.records.heap_bytes()
    }
}

#[expect(
    clippy::expect_used,
    reason = "a run is made of GfnRanges that touch, so it is one; the alternative would be to lose pages silently"
)]
fn unpack(start: U40, pages: u64) -> GfnRange {
    let start = Gfn::new(start.get()).expect("a run's start was a GFN when it was packed");
    GfnRange::new(start, pages)
        .expect("a run is ranges that followed each other, none of them empty")
}
