//! The first page at which two sequences part, and why.
//!
//! **Invariant:** every page before it is the same on both sides, as far as its contents count and hashes are known.

use std::sync::Arc;

use super::{
    places::Places,
    sequence::{Alike, Hash, Sequence, alike},
};
use crate::{addr::Gpa, v1::PageType};

/// One page of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many pages come before it.
    pub ordinal: u64,
    /// Its address.
    pub gpa: Gpa,
    /// Its type.
    pub page_type: PageType,
    /// BLAKE3-256 of its contents; `None` where nobody outside knows it: firmware writes the page, or its hash never leaves the launch host.
    pub hash: Option<Hash>,
    /// What the image calls the extent that it is in; empty in a ledger.
    pub name: Arc<str>,
}

/// A page and its neighbours in the order of one side; `None` where that side has begun or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Around {
    /// The page before.
    pub before: Option<Page>,
    /// The page.
    pub page: Option<Page>,
    /// The page after.
    pub after: Option<Page>,
}

/// Where two sequences part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// How many pages come before it, on both sides the same ones as far as contents count.
    pub ordinal: u64,
    /// What is wrong with it.
    pub why: Why,
    /// The planned page there.
    pub planned: Around,
    /// The installed page there.
    pub installed: Around,
}

/// What is wrong with the page at which two sequences part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The same page with other bytes.
    Contents,
    /// The same page with another type.
    Type,
    /// Another page. Each side has the other's page too, at these ordinals.
    Order {
        /// Where the planned page was installed.
        installed_at: u64,
        /// Where the installed page was planned.
        planned_at: u64,
    },
    /// The planned page is not installed at all.
    Missing {
        /// Where the page that is installed instead was planned; `None` if there is none, because nothing more is installed.
        planned_at: Option<u64>,
    },
    /// The installed page is not planned at all.
    Extra {
        /// Where the page that is planned instead was installed; `None` if there is none, because nothing more is planned.
        installed_at: Option<u64>,
    },
    /// The planned page is not installed at all, and the installed one not planned.
    Replaced,
    /// One side has the page for the second time, which is never installed.
    Repeated {
        /// Where that side has it first.
        first_at: u64,
        /// Whether that side is the plan.
        in_plan: bool,
    },
}

/// A sequence, and the same by address.
pub(super) type Side<'a> = (&'a Sequence, &'a Places<'a>);

/// Where they part, if contents count in pages of the types that `counts` names; `None` if all is the same.
pub(super) fn first(
    (planned, installed): (Side<'_>, Side<'_>),
    counts: impl Fn(PageType) -> bool,
) -> Option<Divergence> {
    let ordinal = parting(planned.0, installed.0, counts)?;
    Some(Divergence {
        ordinal,
        why: why(ordinal, planned, installed)?,
        planned: Around::of(planned.0, ordinal),
        installed: Around::of(installed.0, ordinal),
    })
}

impl Divergence {
    /// Whether it is one of contents, in a page of a type that `counts` does not name.
    pub(super) fn is_in_contents_not(&self, counts: impl Fn(PageType) -> bool) -> bool {
        let page = self.planned.page.as_ref();
        self.why == Why::Contents && page.is_some_and(|page| !counts(page.page_type))
    }
}

fn parting(
    planned: &Sequence,
    installed: &Sequence,
    counts: impl Fn(PageType) -> bool,
) -> Option<u64> {
    let mut ordinal = 0;
    while let (Some(one), Some(other)) = (planned.at(ordinal), installed.at(ordinal)) {
        if one.gpa() != other.gpa() || one.page_type() != other.page_type() {
            return Some(ordinal);
        }
        let pages = one.left().min(other.left());
        if counts(one.page_type())
            && let Some((offset, ..)) =
                alike(one, other, pages).find(|(_, _, alike)| *alike == Alike::Other)
        {
            return Some(ordinal.saturating_add(offset));
        }
        ordinal = ordinal.saturating_add(pages);
    }
    (planned.pages() != installed.pages()).then_some(ordinal)
}

/// `None` if neither side has a page there.
fn why(
    ordinal: u64,
    (planned, planned_places): Side<'_>,
    (installed, installed_places): Side<'_>,
) -> Option<Why> {
    let (one, other) = (planned.at(ordinal), installed.at(ordinal));
    if let (Some(one), Some(other)) = (one, other)
        && one.gpa() == other.gpa()
    {
        return Some(match one.page_type() == other.page_type() {
            true => Why::Contents,
            false => Why::Type,
        });
    }
    for (page, places, in_plan) in [
        (one, planned_places, true),
        (other, installed_places, false),
    ] {
        let first = page.and_then(|page| places.at(page.gpa()));
        if let Some(first) = first.filter(|first| first.ordinal() < ordinal) {
            let first_at = first.ordinal();
            return Some(Why::Repeated { first_at, in_plan });
        }
    }
    let installed_at = one.map(|page| installed_places.at(page.gpa()).map(|at| at.ordinal()));
    let planned_at = other.map(|page| planned_places.at(page.gpa()).map(|at| at.ordinal()));
    match (installed_at, planned_at) {
        (None, None) => None,
        (Some(Some(installed_at)), Some(Some(planned_at))) => Some(Why::Order {
            installed_at,
            planned_at,
        }),
        (Some(None), Some(None)) => Some(Why::Replaced),
        (Some(None), Some(planned_at @ Some(_))) => Some(Why::Missing { planned_at }),
        (Some(_), None) => Some(Why::Missing { planned_at: None }),
        (Some(installed_at @ Some(_)), Some(None)) => Some(Why::Extra { installed_at }),
        (None, Some(_)) => Some(Why::Extra { installed_at: None }),
    }
}

impl Around {
    fn of(sequence: &Sequence, ordinal: u64) -> Self {
        let page = |ordinal: Option<u64>| sequence.page(ordinal?);
        Self {
            before: page(ordinal.checked_sub(1)),
            page: page(Some(ordinal)),
            after: page(ordinal.checked_add(1)),
        }
    }
}
