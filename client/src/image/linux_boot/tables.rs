//! Page tables in which linear addresses are the physical ones.
//!
//! Pages are of 2 MiB, which every 64-bit processor has; 1 GiB pages would save a page of table for each GiB, and some processors lack them.

use std::collections::BTreeSet;

use super::{REACH, Span};
use crate::addr::{Gpa, PAGE_BYTES};

const GIB: u64 = 1 << 30;
const LARGE_PAGE: u64 = 2 << 20;
/// Entry: present and writable.
const TABLE: u64 = 0x3;
/// The same, and a page instead of a table.
const LARGE: u64 = 0x83;

/// Every GiB below [`REACH`] that has memory: what is mapped.
pub(super) struct Mapped(BTreeSet<u64>);

impl Mapped {
    pub(super) fn of(memory: &[Span]) -> Self {
        let gibs = memory.iter().flat_map(|run| {
            let first = run.start.bytes() / GIB;
            let end = run.end.bytes().min(REACH).div_ceil(GIB);
            first..end
        });
        Self(gibs.collect())
    }

    /// Pages of the tables: at most 514.
    pub(super) fn pages(&self) -> u64 {
        2 + self.0.len() as u64
    }

    /// The tables, the top one first, to lie at `base`.
    pub(super) fn tables(&self, base: Gpa) -> Vec<u8> {
        let page = |nth: u64| base.bytes() + nth * PAGE_BYTES;
        let mut top = vec![0; 512];
        let mut second = vec![0; 512];
        top.splice(..1, [page(1) | TABLE]);
        let mut directories = Vec::new();
        for (nth, gib) in (2..).zip(&self.0) {
            if let Some(entry) = usize::try_from(*gib).ok().and_then(|at| second.get_mut(at)) {
                *entry = page(nth) | TABLE;
            }
            directories.extend((0..512).map(|at| (gib * GIB + at * LARGE_PAGE) | LARGE));
        }
        let entries = top.into_iter().chain(second).chain(directories);
        entries.flat_map(u64::to_le_bytes).collect()
    }
}
