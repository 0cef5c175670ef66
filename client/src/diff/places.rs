//! Where each page of a guest is in a sequence.
//!
//! An image may plan a page twice. It can be installed once, so the first time counts.
//!
//! **Invariant:** at most two pieces a run, and sorting is the dearest step, however runs overlap.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::sequence::{At, Run, Sequence};
use crate::addr::PAGE_BYTES;

/// Addresses whose pages are in one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) start: u64,
    /// Behind the last page.
    pub(super) end: u64,
    pub(super) run: &'a Run,
}

/// A sequence by address.
#[derive(Debug)]
pub(super) struct Places<'a> {
    /// Ascending, none overlapping another.
    pieces: Vec<Piece<'a>>,
    /// Pages that come again.
    pub(super) repeated: u64,
}

impl<'a> Places<'a> {
    pub(super) fn of(sequence: &'a Sequence) -> Self {
        let mut runs: Vec<&Run> = sequence.runs().iter().collect();
        runs.sort_by_key(|run| (run.gpa, run.ordinal));
        let mut borders: Vec<u64> = runs.iter().flat_map(|run| [run.gpa, run.end()]).collect();
        borders.sort_unstable();
        borders.dedup();

        let mut pieces: Vec<Piece<'a>> = Vec::new();
        let mut runs = runs.into_iter().peekable();
        // Runs that have begun, the first in the sequence on top; those that have ended leave when they come up.
        let mut begun = BinaryHeap::new();
        for (&start, &end) in borders.iter().zip(borders.iter().skip(1)) {
            while let Some(run) = runs.next_if(|run| run.gpa <= start) {
                begun.push(Reverse(ByOrdinal(run)));
            }
            while begun
                .peek()
                .is_some_and(|Reverse(top)| top.0.end() <= start)
            {
                begun.pop();
            }
            let Some(Reverse(ByOrdinal(run))) = begun.peek() else {
                continue;
            };
            match pieces.last_mut() {
                Some(last) if last.run.ordinal == run.ordinal && last.end == start => {
                    last.end = end;
                }
                _ => pieces.push(Piece { start, end, run }),
            }
        }
        let distinct: u64 = pieces.iter().map(Piece::pages).sum();
        Self {
            pieces,
            repeated: sequence.pages().saturating_sub(distinct),
        }
    }

    /// Ascending, none overlapping another.
    pub(super) fn pieces(&self) -> &[Piece<'a>] {
        &self.pieces
    }

    /// Where the page at `gpa` comes first.
    pub(super) fn at(&self, gpa: u64) -> Option<At<'a>> {
        let behind = self.pieces.partition_point(|piece| piece.start <= gpa);
        let piece = self.pieces.get(behind.checked_sub(1)?)?;
        (gpa < piece.end).then(|| piece.run.at_gpa(gpa))
    }
}

impl<'a> Piece<'a> {
    pub(super) fn pages(&self) -> u64 {
        self.end.saturating_sub(self.start) / PAGE_BYTES
    }

    /// Its first page.
    pub(super) fn at(&self) -> At<'a> {
        self.run.at_gpa(self.start)
    }

    /// The part before `end`, which is behind its start, and what is left.
    pub(super) fn cut(self, end: u64) -> (Self, Option<Self>) {
        let end = end.min(self.end);
        let rest = Self { start: end, ..self };
        (Self { end, ..self }, (end < self.end).then_some(rest))
    }
}

/// A run, compared by its place in the sequence, which no other has.
#[derive(Debug)]
struct ByOrdinal<'a>(&'a Run);

impl PartialEq for ByOrdinal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.ordinal == other.0.ordinal
    }
}

impl Eq for ByOrdinal<'_> {}

impl PartialOrd for ByOrdinal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByOrdinal<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.ordinal.cmp(&other.0.ordinal)
    }
}
