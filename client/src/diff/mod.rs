//! What differs between two sequences of pages: a ledger and a plan, or two plans.
//!
//! ```text
//! Plan   ──▶ Sequence: runs of (GPA, type, BLAKE3 of each page) ──┐
//!                                                                ├─ compare ─▶ Comparison: the first page that diverges and why,
//! ledger ──▶ Sequence, in order of installation ─────────────────┘             then all differences, as ranges
//! specs  ──▶ settings: what else decides the digest, or what a guest's owner sees of the launch
//! ```
//!
//! The launch digest depends on each page and on their order, and for some types on what the pages hold. So the first page at which the sides part in
//! something that the platform measures is where the digest was lost; what is missing, extra, changed or moved behind it is then told by address. Other
//! contents that no digest covers are a class of their own. One side is called *planned*, the other *installed*, also where both are images.
//!
//! **Invariant:** time and memory are bounded by runs and hashes, never by the pages that an image claims; no contents are kept or shown.

mod first;
mod measured;
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

use crate::v1::Platform;
use places::Places;

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Pages planned.
    pub planned_pages: u64,
    /// Pages installed.
    pub installed_pages: u64,
    /// Where the two part; `None` if they are the same, as far as they are measured and hashes are known.
    pub first: Option<Divergence>,
    /// The first page before that with other contents, which no digest covers.
    pub first_unmeasured: Option<Divergence>,
    /// All differences.
    pub totals: Totals,
}

/// Compares what is installed with what was planned, by what `platform` measures. On one that measures nothing, or if it is unspecified because both are
/// not of the same platform, all contents count.
#[must_use]
pub fn compare(planned: &Sequence, installed: &Sequence, platform: Platform) -> Comparison {
    let (planned_places, installed_places) = (Places::of(planned), Places::of(installed));
    let sides = ((planned, &planned_places), (installed, &installed_places));
    let any = first::first(sides, |_| true);
    let covered = |page_type| measured::covers_contents(platform, page_type);
    let (first, first_unmeasured) = match any {
        Some(any) if any.is_in_contents_not(covered) => (first::first(sides, covered), Some(any)),
        any => (any, None),
    };
    Comparison {
        planned_pages: planned.pages(),
        installed_pages: installed.pages(),
        first,
        first_unmeasured,
        totals: totals::totals(&planned_places, &installed_places, covered),
    }
}

impl Comparison {
    /// Whether both have the same pages in the same order, as far as hashes are known.
    #[must_use]
    pub fn is_identical(&self) -> bool {
        self.has_measured() && self.first_unmeasured.is_none()
    }

    /// Whether both have the same pages in the same order, whatever those hold that is not measured.
    #[must_use]
    pub fn has_measured(&self) -> bool {
        self.first.is_none()
    }

    /// Whether all that is installed is as planned, and more is planned: a launch that is still being staged.
    #[must_use]
    pub fn is_prefix(&self) -> bool {
        let why = self.first.as_ref().map(|first| first.why);
        why == Some(Why::Missing { planned_at: None }) && self.first_unmeasured.is_none()
    }
}
