//! Where extents are: page-aligned, each in one memory region, none over another.
//!
//! **Invariant:** takes time in proportion to the extents, times a logarithm: a search through all pairs would be a way to keep a planner busy.

use super::{Found, memory::end};
use crate::{
    addr::{Gpa, PAGE_BYTES, Region},
    plan::{
        Extent, Finding, Plan,
        Severity::{Error, Warning},
    },
};

pub(super) fn check(plan: &Plan, found: &mut Found) {
    if plan.extents.is_empty() {
        let text = "the plan installs no page; a guest has nothing to begin with";
        found.add(Finding::new(Warning, "NO_PAGES", text));
    }
    let mut regions = plan.memory.clone();
    regions.sort_unstable_by_key(|region| region.gpa);
    for extent in &plan.extents {
        if extent.gpa().bytes() % PAGE_BYTES != 0 {
            let text = format!(
                "{} does not begin at a page; give a multiple of 0x1000 bytes",
                name(extent)
            );
            found.add(Finding::new(Error, "UNALIGNED", text).at(extent.gpa()));
        }
        if let Some(outside) = first_outside(&regions, extent) {
            let text = format!(
                "{} leaves the guest's memory there; add or enlarge a region with --memory: an extent lies in one region",
                name(extent)
            );
            found.add(Finding::new(Error, "OUTSIDE_MEMORY", text).at(outside));
        }
    }
    overlaps(plan, found);
}

/// Each extent against the one before it that reaches furthest.
fn overlaps(plan: &Plan, found: &mut Found) {
    let mut extents: Vec<_> = plan.extents.iter().collect();
    extents.sort_by_key(|extent| extent.gpa());
    let mut furthest: Option<&Extent> = None;
    for extent in extents {
        if let Some(before) = furthest.filter(|before| before.end() > extent.gpa()) {
            let text = format!(
                "{} and {} overlap; a page is installed once in the life of a launch: leave one of them out, or cut it",
                name(before),
                name(extent)
            );
            found.add(Finding::new(Error, "OVERLAP", text).at(extent.gpa()));
        }
        furthest = furthest
            .filter(|before| before.end() >= extent.end())
            .or(Some(extent));
    }
}

/// The first address of `extent` outside the region it begins in, as the daemon has it.
fn first_outside(sorted: &[Region], extent: &Extent) -> Option<Gpa> {
    let behind = sorted.partition_point(|region| region.gpa <= extent.gpa());
    let region = behind.checked_sub(1).and_then(|nth| sorted.get(nth));
    let region_end = region
        .and_then(end)
        .filter(|end| *end > extent.gpa().bytes());
    match region_end {
        None => Some(extent.gpa()),
        Some(end) => (extent.end().bytes() > end).then_some(Gpa::new(end)),
    }
}

/// What an extent is called, for people: its name, and its pages.
pub(super) fn name(extent: &Extent) -> String {
    format!(
        "`{}` ({} pages at {})",
        crate::plain(extent.name()),
        extent.pages(),
        extent.gpa()
    )
}
