//! All differences, by address.
//!
//! **Invariant:** each page that both sides have is counted once: as of another type, as of other contents, measured or not, as not to be compared, or
//! as the same.

use super::{
    order::unmoved,
    places::{Piece, Places},
    ranges::{Place, Range, Ranges},
    sequence::{Alike, At, alike},
};
use crate::{addr::Gpa, v1::PageType};

/// What differs in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Planned and not installed.
    pub missing: Ranges,
    /// Installed and not planned.
    pub extra: Ranges,
    /// Of another type than planned, whatever they hold.
    pub retyped: Ranges,
    /// With other contents than planned, which the digest covers, or on a platform without one.
    pub contents: Ranges,
    /// With other contents than planned, which the digest does not cover.
    pub unmeasured: Ranges,
    /// At another place in the order: as few as would have to move, in the order of the plan.
    pub moved: Ranges,
    /// Whose contents cannot be compared: firmware writes them, or their hashes never leave the launch host.
    pub unknown: Ranges,
    /// Planned a second time.
    pub repeated_in_plan: u64,
    /// The same of the other side, if it is an image.
    pub repeated_in_installed: u64,
}

/// Pages that both sides have, in one run on either.
struct Common<'a> {
    planned: At<'a>,
    installed: At<'a>,
    pages: u64,
}

/// `covered` says of which types the digest covers the contents.
pub(super) fn totals(
    planned: &Places<'_>,
    installed: &Places<'_>,
    covered: impl Fn(PageType) -> bool,
) -> Totals {
    let mut totals = Totals {
        repeated_in_plan: planned.repeated,
        repeated_in_installed: installed.repeated,
        ..Totals::default()
    };
    let mut common = Vec::new();
    join(planned.pieces(), installed.pieces(), |one, other| {
        match (one, other) {
            (Some(one), Some(other)) => common.push(Common {
                planned: one.at(),
                installed: other.at(),
                pages: one.pages(),
            }),
            (Some(one), None) => totals
                .missing
                .push(range(Some(one.at()), None, one.pages())),
            (None, Some(other)) => totals
                .extra
                .push(range(None, Some(other.at()), other.pages())),
            (None, None) => {}
        }
    });
    for pages in &common {
        totals.compare(pages, covered(pages.planned.page_type()));
    }
    common.sort_by_key(|pages| pages.planned.ordinal());
    let places: Vec<_> = common
        .iter()
        .map(|pages| (pages.installed.ordinal(), pages.pages))
        .collect();
    for (pages, stays) in common.iter().zip(unmoved(&places)) {
        if !stays {
            totals.moved.push(pages.range(0, pages.pages));
        }
    }
    totals
}

impl Totals {
    fn compare(&mut self, common: &Common<'_>, is_covered: bool) {
        let (planned, installed) = (common.planned, common.installed);
        if planned.page_type() != installed.page_type() {
            return self.retyped.push(common.range(0, common.pages));
        }
        for (offset, pages, alike) in alike(planned, installed, common.pages) {
            match alike {
                Alike::Same => {}
                Alike::Other if is_covered => self.contents.push(common.range(offset, pages)),
                Alike::Other => self.unmeasured.push(common.range(offset, pages)),
                Alike::Unknown => self.unknown.push(common.range(offset, pages)),
            }
        }
    }
}

impl Common<'_> {
    fn range(&self, offset: u64, pages: u64) -> Range {
        range(
            Some(self.planned.plus(offset)),
            Some(self.installed.plus(offset)),
            pages,
        )
    }
}

/// At least one side has it.
fn range(planned: Option<At<'_>>, installed: Option<At<'_>>, pages: u64) -> Range {
    let place = |at: At<'_>| Place {
        ordinal: at.ordinal(),
        page_type: at.page_type(),
    };
    let gpa = planned.or(installed).map_or(0, At::gpa);
    Range {
        gpa: Gpa::new(gpa),
        pages,
        planned: planned.map(place),
        installed: installed.map(place),
    }
}

/// Shows two ascending lists of pieces side by side: what both have, cut where either ends, and what only one has.
fn join<'a>(
    one: &[Piece<'a>],
    other: &[Piece<'a>],
    mut show: impl FnMut(Option<Piece<'a>>, Option<Piece<'a>>),
) {
    let (mut ones, mut others) = (one.iter().copied(), other.iter().copied());
    let (mut one, mut other) = (ones.next(), others.next());
    loop {
        match (one, other) {
            (None, None) => return,
            (Some(left), right) if right.is_none_or(|right| left.start < right.start) => {
                let (now, rest) = left.cut(right.map_or(left.end, |right| right.start));
                show(Some(now), None);
                one = rest.or_else(|| ones.next());
            }
            (left, Some(right)) if left.is_none_or(|left| right.start < left.start) => {
                let (now, rest) = right.cut(left.map_or(right.end, |left| left.start));
                show(None, Some(now));
                other = rest.or_else(|| others.next());
            }
            (left, right) => {
                let end = |piece: Option<Piece<'_>>| piece.map_or(u64::MAX, |piece| piece.end);
                let end = end(left).min(end(right));
                let (left, right) = (left.map(|it| it.cut(end)), right.map(|it| it.cut(end)));
                show(left.map(|(now, _)| now), right.map(|(now, _)| now));
                one = left.and_then(|(_, rest)| rest).or_else(|| ones.next());
                other = right.and_then(|(_, rest)| rest).or_else(|| others.next());
            }
        }
    }
}
