//! Figures of the ledger's memory: heap for each installed page, in extents of one page and of sixteen, and for three pages in a region of 1 TiB.
//!
//! A program of its own, for it counts every allocation: what was asked for, and 16 bytes for each block, a malloc's header and rounding. The suite `ledger_memory` of
//! stagepages-host holds the same figures against their bounds at every moment; here they are printed as they are in the end.
//!
//! **Invariant:** extents never touch, and come in no order: the most that they can cost.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints its figures, and has nobody to tell of a failure"
)]

#[expect(
    dead_code,
    reason = "figures of this program have all there is to them"
)]
#[path = "../report.rs"]
mod report;
#[expect(dead_code, reason = "nothing here runs in pairs")]
#[path = "../scale.rs"]
mod scale;

use std::alloc::System;

use report::{Target, judged};
use scale::Scale;
use stagepages_host::ledger::{Ledger, PageHash};
use stagepages_kvm::{Gfn, GfnRange, PageType};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The name by which these figures are asked for.
const NAME: &str = "ledger";

/// What a malloc adds to a block, at most.
const BYTES_PER_BLOCK: usize = 16;

/// A power of two, so that an odd factor permutes the extents.
const PAGES: u64 = 1 << 19;

/// The frames of a 1 TiB region.
const TIB_FRAMES: u64 = 1 << 28;

const HASH: PageHash = PageHash([0x5a; 32]);

fn main() {
    let names: Vec<_> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    if !names.is_empty() && !names.iter().any(|name| name == NAME) {
        return;
    }
    let scale = Scale::from_environment();
    for (name, pages, bound) in [
        ("ledger.bytes_per_single_page", 1, 96.0),
        ("ledger.bytes_per_page_of_16", 16, 40.0),
    ] {
        let how = "bytes of heap, in the end";
        judged(scale, name, per_page(pages), Target::AtMost(bound), how);
    }
    let how = "bytes of heap in all";
    let bound = Target::AtMost(65_536.0);
    judged(scale, "ledger.bytes_of_three_in_1_tib", three(), bound, how);
}

/// Heap for each page of a ledger full of scattered extents of `pages` pages.
fn per_page(pages: u64) -> f64 {
    let hashes = vec![HASH; usize::try_from(pages).unwrap()];
    let extents = PAGES / pages;
    let heap = Region::new(HEAP);
    let mut ledger = Ledger::new([7; 32]);
    for i in 0..extents {
        let place = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % extents;
        let extent = range(place * (pages + 1), pages);
        ledger.append(extent, PageType::Normal, &hashes).unwrap();
    }
    assert_eq!(ledger.len(), PAGES);
    held(&heap) / f64::from(u32::try_from(PAGES).unwrap())
}

/// Heap of a ledger with three pages, far apart.
fn three() -> f64 {
    let heap = Region::new(HEAP);
    let mut ledger = Ledger::new([7; 32]);
    for frame in [0, TIB_FRAMES / 2, TIB_FRAMES - 1] {
        ledger
            .append(range(frame, 1), PageType::Normal, &[HASH])
            .unwrap();
    }
    assert_eq!(ledger.len(), 3);
    held(&heap)
}

fn range(first: u64, pages: u64) -> GfnRange {
    GfnRange::new(Gfn::new(first).unwrap(), pages).unwrap()
}

/// What was allocated since `heap` was begun and is still held, in bytes.
#[expect(clippy::cast_precision_loss, reason = "a figure of four digits")]
fn held(heap: &Region<'_, System>) -> f64 {
    let change = heap.change();
    let blocks = change.allocations - change.deallocations;
    (change.bytes_allocated - change.bytes_deallocated + blocks * BYTES_PER_BLOCK) as f64
}
