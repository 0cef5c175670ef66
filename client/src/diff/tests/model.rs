//! The comparison against one that looks at every page by itself.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::pages::plan;
use crate::{
    addr::Gpa,
    diff::{Comparison, Ranges, Sequence, Why, compare},
    plan::{Contents, Extent},
    v1::{PageType, Platform},
};

/// Address by number of pages, type, what it is filled with.
type Page = (u64, PageType, Option<u8>);

/// Runs that overlap, touch and repeat each other: few addresses, few types, few contents.
fn runs() -> impl Strategy<Value = Vec<(u64, u64, PageType, Vec<u8>)>> {
    let page_type = prop::sample::select(vec![PageType::Normal, PageType::Zero, PageType::Secrets]);
    let fills = prop::collection::vec(0_u8..2, 4);
    prop::collection::vec((0_u64..12, 1_u64..4, page_type, fills), 0..8)
}

fn sequence(runs: &[(u64, u64, PageType, Vec<u8>)]) -> (Sequence, Vec<Page>) {
    let (mut extents, mut pages) = (Vec::new(), Vec::new());
    for (at, count, page_type, fills) in runs {
        let gpa = Gpa::new(at * 4096);
        let fills = &fills[..usize::try_from(*count).unwrap()];
        let extent = if *page_type == PageType::Normal {
            let bytes: Vec<u8> = fills.iter().flat_map(|fill| [*fill; 4096]).collect();
            Extent::new(gpa, *page_type, Contents::Bytes(bytes.into()), "x")
        } else {
            Extent::zeros(gpa, *page_type, *count, "x")
        };
        extents.push(extent.unwrap());
        pages.extend((*at..).zip(fills).map(|(at, fill)| {
            let filled = if *page_type == PageType::Normal {
                *fill
            } else {
                0
            };
            let known = (*page_type != PageType::Secrets).then_some(filled);
            (at, *page_type, known)
        }));
    }
    (Sequence::of_plan(&plan(extents)).unwrap(), pages)
}

fn same(one: &Page, other: &Page) -> bool {
    let alike = one.2.is_none() || other.2.is_none() || one.2 == other.2;
    one.0 == other.0 && one.1 == other.1 && alike
}

/// By address: where it comes first, and what it is.
fn firsts(pages: &[Page]) -> BTreeMap<u64, (u64, Page)> {
    let mut firsts = BTreeMap::new();
    for (ordinal, page) in (0..).zip(pages) {
        firsts.entry(page.0).or_insert((ordinal, *page));
    }
    firsts
}

/// The addresses that a list names.
fn named(ranges: &Ranges) -> Vec<u64> {
    let mut all: Vec<u64> = ranges
        .listed
        .iter()
        .flat_map(|range| (range.gpa.bytes() / 4096..).take(usize::try_from(range.pages).unwrap()))
        .collect();
    assert_eq!(
        (all.len() as u64, ranges.listed.len() as u64),
        (ranges.pages, ranges.ranges)
    );
    all.sort_unstable();
    all
}

fn check(comparison: &Comparison, planned: &[Page], installed: &[Page]) {
    let parting = (0..planned.len().max(installed.len())).find(|nth| {
        !matches!((planned.get(*nth), installed.get(*nth)), (Some(one), Some(other)) if same(one, other))
    });
    let first = comparison.first.as_ref();
    assert_eq!(
        first.map(|first| first.ordinal),
        parting.map(|nth| nth as u64)
    );
    let (ones, others) = (firsts(planned), firsts(installed));
    if let (Some(first), Some(nth)) = (first, parting) {
        check_why(
            first.why,
            nth as u64,
            (planned.get(nth), &ones),
            (installed.get(nth), &others),
        );
        for (around, pages) in [(&first.planned, planned), (&first.installed, installed)] {
            let at =
                |nth: Option<usize>| nth.and_then(|nth| pages.get(nth)).map(|page| page.0 * 4096);
            let told = [&around.before, &around.page, &around.after]
                .map(|page| page.as_ref().map(|page| page.gpa.bytes()));
            assert_eq!(
                told,
                [
                    at(nth.checked_sub(1)),
                    at(Some(nth)),
                    at(nth.checked_add(1))
                ]
            );
        }
    }
    let totals = &comparison.totals;
    let only =
        |mine: &BTreeMap<u64, (u64, Page)>, theirs: &BTreeMap<u64, (u64, Page)>| -> Vec<u64> {
            mine.keys()
                .filter(|at| !theirs.contains_key(at))
                .copied()
                .collect()
        };
    assert_eq!(named(&totals.missing), only(&ones, &others));
    assert_eq!(named(&totals.extra), only(&others, &ones));
    let both = |differs: &dyn Fn(&Page, &Page) -> bool| -> Vec<u64> {
        let common = ones
            .iter()
            .filter_map(|(at, one)| Some((at, one.1, others.get(at)?.1)));
        common
            .filter(|(_, one, other)| differs(one, other))
            .map(|(at, ..)| *at)
            .collect()
    };
    assert_eq!(named(&totals.retyped), both(&|one, other| one.1 != other.1));
    assert_eq!(
        named(&totals.contents),
        both(&|one, other| one.1 == other.1 && !same(one, other))
    );
    assert_eq!(
        named(&totals.unknown),
        both(&|one, other| one.1 == other.1 && (one.2.is_none() || other.2.is_none()))
    );
    assert_eq!(totals.repeated_in_plan, (planned.len() - ones.len()) as u64);
    assert_eq!(
        totals.repeated_in_installed,
        (installed.len() - others.len()) as u64
    );
    check_moved(&named(&totals.moved), &ones, &others);
}

fn check_why(
    why: Why,
    nth: u64,
    (planned, ones): (Option<&Page>, &BTreeMap<u64, (u64, Page)>),
    (installed, others): (Option<&Page>, &BTreeMap<u64, (u64, Page)>),
) {
    let place = |page: Option<&Page>, places: &BTreeMap<u64, (u64, Page)>| {
        page.and_then(|page| places.get(&page.0))
            .map(|first| first.0)
    };
    let (installed_at, planned_at) = (place(planned, others), place(installed, ones));
    let told = match why {
        Why::Contents => {
            return assert!(
                planned.unwrap().0 == installed.unwrap().0
                    && planned.unwrap().1 == installed.unwrap().1
            );
        }
        Why::Type => {
            return assert!(
                planned.unwrap().0 == installed.unwrap().0
                    && planned.unwrap().1 != installed.unwrap().1
            );
        }
        Why::Repeated { first_at, in_plan } => {
            let own = if in_plan {
                place(planned, ones)
            } else {
                place(installed, others)
            };
            return assert!(own == Some(first_at) && first_at < nth);
        }
        Why::Order {
            installed_at,
            planned_at,
        } => (Some(installed_at), Some(planned_at)),
        Why::Missing { planned_at } => (None, planned_at),
        Why::Extra { installed_at } => (installed_at, None),
        Why::Replaced => (None, None),
    };
    assert_eq!(told, (installed_at, planned_at));
}

/// What was not moved is in the same order on both sides, and no page that was could have stayed.
fn check_moved(
    moved: &[u64],
    ones: &BTreeMap<u64, (u64, Page)>,
    others: &BTreeMap<u64, (u64, Page)>,
) {
    let mut common: Vec<(u64, u64, u64)> = ones
        .iter()
        .filter_map(|(at, one)| Some((one.0, others.get(at)?.0, *at)))
        .collect();
    common.sort_unstable();
    let in_order = |left: &dyn Fn(u64) -> bool| {
        common
            .iter()
            .filter(|page| left(page.2))
            .is_sorted_by_key(|page| page.1)
    };
    assert!(in_order(&|at| !moved.contains(&at)));
    for spared in moved {
        assert!(
            !in_order(&|at| at == *spared || !moved.contains(&at)),
            "{spared} moved for nothing"
        );
    }
}

proptest! {
    #[test]
    fn any_two_sequences_are_compared_as_page_by_page(one in runs(), other in runs()) {
        let ((planned, ones), (installed, others)) = (sequence(&one), sequence(&other));
        check(&compare(&planned, &installed, Platform::Kvm), &ones, &others);
    }

    #[test]
    fn a_sequence_that_was_changed_a_little_is_compared_as_page_by_page(
        one in runs(), from in 0_usize..8, to in 0_usize..8, cut in 0_usize..9,
    ) {
        let mut other = one.clone();
        if !other.is_empty() {
            let (from, to) = (from % other.len(), to % other.len());
            other.swap(from, to);
            other.truncate(cut);
        }
        let ((planned, ones), (installed, others)) = (sequence(&one), sequence(&other));
        check(&compare(&planned, &installed, Platform::Kvm), &ones, &others);
        prop_assert!(compare(&planned, &planned, Platform::Kvm).is_identical());
    }
}
