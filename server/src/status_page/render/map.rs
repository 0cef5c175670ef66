//! The page map: every cell is a column of memory, filled from below by what is installed in it.
//!
//! **Invariant:** what the colours say, the legend says in numbers.

use maud::{Markup, html};

use super::{detail::id, missing, words};
use crate::status_page::{
    look::Detail,
    page_map::{Counts, Drawn, LISTED, NoMap, Strip, TYPES},
};

/// Cells of one line.
const COLUMNS: usize = 64;
/// A cell and the gap behind it, in the picture's own units.
const WIDTH: usize = 11;
const HEIGHT: usize = 16;
const GAP: usize = 2;

pub(super) fn section(detail: &Detail) -> Markup {
    html! {
        section.card #map aria-labelledby="map-h" {
            h2 #map-h { "Page map" }
            @match &detail.map {
                Ok(map) => (drawn(id(&detail.launch), map)),
                Err(NoMap::Silent) => (missing("The launch host did not answer in time, so what lies where is not known now.")),
                Err(NoMap::Busy) => (missing("Too many page maps are being put together; look again.")),
                Err(NoMap::Unreadable(why)) => (missing(why)),
            }
        }
    }
}

fn drawn(launch: &str, map: &Drawn) -> Markup {
    html! {
        ul.legend {
            @for (nth, kind) in TYPES.iter().enumerate() {
                @let name = words::page_type(*kind);
                li {
                    span class={ "swatch t-" (name) } aria-hidden="true" { }
                    (name) " " (words::number(&format!("pages:{launch}:{name}"), map.totals[nth]))
                }
            }
            li { span.swatch.empty aria-hidden="true" { } "nothing" }
        }
        p.note {
            "A cell is " (words::grouped(map.pages_per_cell)) @if map.pages_per_cell == 1 { " page" } @else { " pages" }
            ", filled from below."
        }
        @for strip in &map.strips { (region(map, strip)) }
        @if map.more_regions > 0 { p.note { (map.more_regions) " more regions are not drawn." } }
        @if let Some(gpa) = map.cut_at {
            (missing(&format!("The ledger has more runs than are looked at here: from {gpa:#x} on nothing is drawn or counted.")))
        }
        (runs(map))
    }
}

fn region(map: &Drawn, strip: &Strip) -> Markup {
    let lines = strip.cells.len().div_ceil(COLUMNS).max(1);
    let columns = strip.cells.len().min(COLUMNS);
    let view = format!("0 0 {} {}", COLUMNS * WIDTH - GAP, lines * HEIGHT - GAP);
    let installed: u64 = strip.cells.iter().flatten().sum();
    let words = format!(
        "region at {:#x}: {} of {} pages installed",
        strip.gpa,
        words::grouped(installed),
        words::grouped(strip.pages)
    );
    let cell = |nth: usize| (nth % COLUMNS * WIDTH, nth / COLUMNS * HEIGHT);
    let mut ground = String::new();
    for nth in 0..strip.cells.len() {
        let (x, y) = cell(nth);
        rectangle(&mut ground, x, y, HEIGHT - GAP);
    }
    html! {
        figure {
            figcaption {
                code { (format!("{:#x}", strip.gpa)) } " "
                (words::size(strip.pages.saturating_mul(stagepages_kvm::PAGE_SIZE)))
                span.note { " · " (words::grouped(installed)) " of " (words::grouped(strip.pages)) " pages" }
            }
            svg.map viewBox=(view) role="img" aria-label=(words) data-columns=(columns) {
                path.t-none d=(ground) { }
                @for (nth, kind) in TYPES.iter().enumerate() {
                    @let path = filled(map, strip, nth, cell);
                    @if !path.is_empty() { path class={ "t-" (words::page_type(*kind)) } d=(path) { } }
                }
            }
        }
    }
}

/// The parts of all cells that this type fills, each above those of the types before it.
fn filled(
    map: &Drawn,
    strip: &Strip,
    kind: usize,
    cell: impl Fn(usize) -> (usize, usize),
) -> String {
    let mut path = String::new();
    let full = HEIGHT - GAP;
    for (nth, counts) in strip.cells.iter().enumerate() {
        let pages = strip.pages_of(nth, map.pages_per_cell);
        let (below, upto) = (
            height(counts, kind, pages, full),
            height(counts, kind + 1, pages, full),
        );
        if upto > below {
            let (x, y) = cell(nth);
            rectangle(&mut path, x, y + full - upto, upto - below);
        }
    }
    path
}

/// How high the first `kinds` types reach. What is there at all is seen.
fn height(counts: &Counts, kinds: usize, pages: u64, full: usize) -> usize {
    let (some, all): (u64, u64) = (counts.iter().take(kinds).sum(), pages.max(1));
    let types = counts
        .iter()
        .take(kinds)
        .filter(|count| **count > 0)
        .count();
    let share = u128::from(some) * u128::try_from(full).unwrap_or(0) / u128::from(all);
    usize::try_from(share).unwrap_or(full).max(types).min(full)
}

fn rectangle(path: &mut String, x: usize, y: usize, height: usize) {
    let width = WIDTH - GAP;
    path.push_str(&format!("M{x} {y}h{width}v{height}h-{width}z"));
}

fn runs(map: &Drawn) -> Markup {
    html! {
        @if map.runs.is_empty() {
            p.empty { "Nothing is installed yet." }
        } @else {
            details #runs {
                summary { h3 { "Runs of pages" } span.note { " " (words::grouped(u64::try_from(map.run_count).unwrap_or(u64::MAX))) } }
                div.scroll {
                    table {
                        caption.sr { "Runs of pages of one type, by address" }
                        thead { tr { th scope="col" { "Address" } th.n scope="col" { "Pages" } th scope="col" { "Type" } } }
                        tbody {
                            @for run in &map.runs {
                                tr {
                                    th scope="row" { code { (format!("{:#x}", run.gpa)) } }
                                    td.n { (words::grouped(run.pages)) }
                                    td { (words::page_type(run.page_type())) }
                                }
                            }
                        }
                    }
                }
                @if map.run_count > LISTED { p.note { "The first " (LISTED) " are listed; stagectl pages has them all." } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_page_is_seen_and_a_full_cell_is_full() {
        let counts = [9999, 1, 0, 0, 0];
        assert_eq!(height(&counts, 1, 10_000, 14), 13);
        assert_eq!(height(&counts, 2, 10_000, 14), 14);
        assert_eq!(height(&counts, 5, 10_000, 14), 14);
        let few = [0, 0, 1, 0, 1];
        assert_eq!(
            [0, 3, 5].map(|kinds| height(&few, kinds, 10_000, 14)),
            [0, 1, 2]
        );
    }
}
