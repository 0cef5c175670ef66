//! What differs between two sequences of pages: a ledger and a plan, or two plans.
//!
//! ```text
//! Plan   ──▶ Sequence: runs of (GPA, type, BLAKE3 of each page) ──┐
//!                                                                ├─ compare ─▶ Comparison: the first page that diverges and why,
//! ledger ──▶ Sequence, in order of installation ─────────────────┘             then all differences, as ranges
//! specs  ──▶ settings: what else decides the digest, or what a guest's owner sees of the launch
//! ```
//!
//! The launch digest depends on each page and on their order. So the first page at which the orders part is where the digest was lost; what is
//! missing, extra, changed or moved behind it is then told by address. One side is called *planned*, the other *installed*, also where both are images.
//!
//! **Invariant:** time and memory are bounded by runs and hashes, never by the pages that an image claims; no contents are kept or shown.

mod first;
mod order;
mod places;
mod ranges;
mod sequence;
mod settings;
#[cfg(test)]
mod tests;
mod totals;

pub use first::{Around, Divergence, Page, Why};
pub use ranges::{LISTED, Place, Range, Ranges};
pub use sequence::{Hash, Sequence, SequenceError};
pub use settings::{Setting, settings};
pub use totals::Totals;

use places::Places;

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Pages planned.
    pub planned_pages: u64,
    /// Pages installed.
    pub installed_pages: u64,
    /// Where the two part; `None` if they are the same, as far as hashes are known.
    pub first: Option<Divergence>,
    /// All differences.
    pub totals: Totals,
}

/// Compares what is installed with what was planned.
#[must_use]
pub fn compare(planned: &Sequence, installed: &Sequence) -> Comparison {
    let (planned_places, installed_places) = (Places::of(planned), Places::of(installed));
    Comparison {
        planned_pages: planned.pages(),
        installed_pages: installed.pages(),
        first: first::first((planned, &planned_places), (installed, &installed_places)),
        totals: totals::totals(&planned_places, &installed_places),
    }
}

impl Comparison {
    /// Whether both have the same pages in the same order, as far as hashes are known.
    #[must_use]
    pub fn is_identical(&self) -> bool {
        self.first.is_none()
    }

    /// Whether all that is installed is as planned, and more is planned: a launch that is still being staged.
    #[must_use]
    pub fn is_prefix(&self) -> bool {
        let why = self.first.as_ref().map(|first| first.why);
        why == Some(Why::Missing { planned_at: None })
    }
}
