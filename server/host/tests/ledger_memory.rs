//! The ledger's memory against the promises of design.md section 6, as an allocator counts it.
//!
//! Counted is what the ledger asked for, plus 16 bytes for each block that it holds: a malloc's header and rounding. The
//! worst moment counts, so after every append the sum is held against the bound. One test, because the counts are those of
//! the whole process.
//!
//! **Invariant:** measures through the public interface alone; `Ledger::heap_bytes` is checked here, never trusted.

#![expect(
    clippy::unwrap_used,
    reason = "clippy's exception for tests does not reach their helpers"
)]

use std::alloc::System;

use stagepages_host::ledger::{Ledger, PageHash};
use stagepages_kvm::{Gfn, GfnRange, PageType};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What a malloc adds to a block, at most: 8 bytes of header, and up to the next multiple of 16.
const BYTES_PER_BLOCK: usize = 16;

/// From here on a bound per page is meaningful: below, the first chunks weigh more than the pages.
const SETTLED_PAGES: u64 = 16 << 10;

/// A power of two, so that an odd factor permutes the extents.
const PAGES: u64 = 1 << 19;

/// The frames of a 1 TiB region.
const TIB_FRAMES: u64 = 1 << 28;

const HASH: PageHash = PageHash([0x5a; 32]);

/// Where extent `i` of so many goes, counted in extents.
type Placement = fn(i: u64, extents: u64) -> u64;

const PLACEMENTS: [(&str, Placement); 3] = [
    ("ascending", |i, _| i),
    ("descending", |i, extents| extents - 1 - i),
    ("shuffled", |i, extents| {
        i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % extents
    }),
];

struct Usage {
    /// Bytes per page at the worst moment after the first [`SETTLED_PAGES`].
    worst: f64,
    /// Bytes per page in the end.
    last: f64,
    /// What the ledger says of itself in the end, in bytes per page.
    own: f64,
}

/// What was allocated since `heap` was begun and is still held, in bytes.
fn held(heap: &Region<'_, System>) -> usize {
    let change = heap.change();
    let blocks = change.allocations - change.deallocations;
    change.bytes_allocated - change.bytes_deallocated + blocks * BYTES_PER_BLOCK
}

fn range(start: u64, pages: u64) -> GfnRange {
    GfnRange::new(Gfn::new(start).unwrap(), pages).unwrap()
}

/// Fills a ledger with extents of `pages` pages, none of which touches another.
fn fill(pages: u64, place: Placement) -> Usage {
    let hashes = vec![HASH; usize::try_from(pages).unwrap()];
    let extents = PAGES / pages;
    let heap = Region::new(HEAP);
    let mut ledger = Ledger::new([7; 32]);
    let mut worst = 0.0_f64;
    for i in 0..extents {
        let extent = range(place(i, extents) * (pages + 1), pages);
        ledger.append(extent, PageType::Normal, &hashes).unwrap();
        if ledger.len() >= SETTLED_PAGES {
            worst = worst.max(per_page(held(&heap), ledger.len()));
        }
    }
    assert_eq!(ledger.len(), PAGES);
    Usage {
        worst,
        last: per_page(held(&heap), PAGES),
        own: per_page(ledger.heap_bytes(), PAGES),
    }
}

fn per_page(bytes: usize, pages: u64) -> f64 {
    bytes as f64 / pages as f64
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "the figures are what a reader of this test wants"
)]
fn the_ledger_keeps_its_promises_of_memory() {
    for (what, pages, bound) in [
        ("single pages", 1, 96.0),
        ("16-page extents", 16, 40.0),
        ("256-page extents", 256, 40.0),
    ] {
        for (how, place) in PLACEMENTS {
            let Usage { worst, last, own } = fill(pages, place);
            println!(
                "{what}, {how}: {worst:.1} bytes a page at worst, {last:.1} in the end, {own:.1} by its own estimate"
            );
            assert!(worst <= bound, "{what}, {how}: at most {bound}");
            assert!(
                (0.85..=1.15).contains(&(own / last)),
                "{what}, {how}: the estimate is off by more than 15 percent"
            );
        }
    }

    let heap = Region::new(HEAP);
    let mut ledger = Ledger::new([7; 32]);
    for frame in [0, TIB_FRAMES / 2, TIB_FRAMES - 1] {
        ledger
            .append(range(frame, 1), PageType::Normal, &[HASH])
            .unwrap();
    }
    let three = held(&heap);
    println!("three pages in a 1 TiB region: {three} bytes in all");
    assert!(three <= 64 << 10);
}
