//! Which rows of memory are drawn, and at which scale.
//!
//! The scale is the finest at which all rows fit; it is one for the whole picture, so that lengths can be compared.
//!
//! **Invariant:** every row in which something is staged is drawn; the work is bounded by areas and regions, never by the sizes that they claim.

use super::{Area, Drawing};
use crate::addr::PAGE_BYTES;

/// Cells of a row.
pub(super) const COLUMNS: u32 = 64;
/// The finest scale: a cell is a page.
const FINEST: u32 = PAGE_BYTES.ilog2();
/// The coarsest, at which the whole address space is one row.
const COARSEST: u32 = u64::BITS - COLUMNS.ilog2();

/// A picture's rows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// A cell has two to this many bytes.
    shift: u32,
    pub(super) bands: Vec<Band>,
}

/// A stretch of memory without a hole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Band {
    pub(super) start: u64,
    /// Behind its last byte.
    pub(super) end: u64,
    /// Whether it is memory of the guest. If not, something is staged there all the same.
    pub(super) is_memory: bool,
    pub(super) lines: Vec<Line>,
}

/// A line of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A row that begins at this address, a multiple of its length; it may begin before its band, and end behind it.
    Row(u64),
    /// Memory of this many bytes in which nothing is staged, and of which no row is drawn.
    Empty(u64),
}

impl Layout {
    /// The rows of a drawing, at most `most` lines if that is possible.
    pub(super) fn of(drawing: &Drawing, most: usize) -> Self {
        let mut bands = bands(drawing);
        let mut areas: Vec<(u64, u64)> = drawing
            .areas
            .iter()
            .map(|area| (area.gpa.bytes(), area.end()))
            .filter(|(start, end)| start < end)
            .collect();
        areas.sort_unstable();
        let areas = merged(&areas);
        // However coarse, a band has a row, and is mostly empty around it.
        let most = most.max(2 * bands.len()) as u64;
        let shift = (FINEST..COARSEST).find(|shift| {
            let lines = bands.iter().map(|band| band.stretches(&areas, *shift));
            let rows = lines.flatten().map(Stretch::lines);
            rows.fold(0, u64::saturating_add) <= most
        });
        let shift = shift.unwrap_or(COARSEST);
        for band in &mut bands {
            let stretches = band.stretches(&areas, shift);
            band.lines = stretches
                .into_iter()
                .flat_map(|it| it.drawn(shift))
                .collect();
        }
        Self { shift, bands }
    }

    /// Bytes of a cell.
    pub(super) fn cell(&self) -> u64 {
        1 << self.shift
    }

    /// Bytes of a row; all of the address space is one less than 2^64.
    pub(super) fn row(&self) -> u64 {
        self.cell().saturating_mul(COLUMNS.into())
    }
}

impl Band {
    /// Whether an area is in it, and where.
    pub(super) fn clip(&self, area: &Area) -> Option<(u64, u64)> {
        let clipped = (area.gpa.bytes().max(self.start), area.end().min(self.end));
        (clipped.0 < clipped.1).then_some(clipped)
    }

    /// Rows with something and rows without, by turns. `areas` ascend and do not touch.
    fn stretches(&self, areas: &[(u64, u64)], shift: u32) -> Vec<Stretch> {
        let row = shift + COLUMNS.ilog2();
        let index = |at: u64| at.checked_shr(row).unwrap_or(0);
        let (mut next, last) = (index(self.start), index(self.end - 1));
        let first = areas.partition_point(|area| area.1 <= self.start);
        let mut stretches: Vec<Stretch> = Vec::new();
        for (start, end) in areas
            .iter()
            .skip(first)
            .take_while(|area| area.0 < self.end)
        {
            let from = index(*start.max(&self.start)).max(next);
            let to = index(*end.min(&self.end) - 1);
            if from > next {
                stretches.push(Stretch::new(self, row, next, from - 1, false));
            }
            if to >= next {
                stretches.push(Stretch::new(self, row, from, to, true));
                next = to + 1;
            }
        }
        if next <= last {
            stretches.push(Stretch::new(self, row, next, last, false));
        }
        stretches
    }
}

/// Consecutive rows that all have something, or all have nothing.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    /// Index of the first row.
    from: u64,
    /// Index of the last row.
    to: u64,
    /// How many bytes of the band they are.
    bytes: u64,
    has_pages: bool,
}

impl Stretch {
    fn new(band: &Band, row: u32, from: u64, to: u64, has_pages: bool) -> Self {
        let address = |index: u64| u128::from(index) << row;
        let start = address(from).max(band.start.into());
        let end = (address(to) + (1 << row)).min(band.end.into());
        Self {
            from,
            to,
            bytes: u64::try_from(end.saturating_sub(start)).unwrap_or(u64::MAX),
            has_pages,
        }
    }

    /// How many lines it makes.
    fn lines(self) -> u64 {
        match self.has_pages {
            true => (self.to - self.from).saturating_add(1),
            false => 1,
        }
    }

    /// One empty row is drawn, more are told.
    fn drawn(self, shift: u32) -> impl Iterator<Item = Line> {
        let told = !self.has_pages && self.from < self.to;
        let row = shift + COLUMNS.ilog2();
        let rows =
            (self.from..=self.to).map(move |index| Line::Row(index.checked_shl(row).unwrap_or(0)));
        let empty = told.then_some(Line::Empty(self.bytes));
        empty.into_iter().chain(rows.take_while(move |_| !told))
    }
}

/// The regions by address, and between them whatever is staged outside.
fn bands(drawing: &Drawing) -> Vec<Band> {
    let mut regions: Vec<(u64, u64)> = drawing
        .memory
        .iter()
        .map(|region| {
            (
                region.gpa.bytes(),
                region.gpa.bytes().saturating_add(region.size),
            )
        })
        .filter(|(start, end)| start < end)
        .collect();
    regions.sort_unstable();
    let memory = merged(&regions);
    let mut outside: Vec<(u64, u64)> = Vec::new();
    for area in &drawing.areas {
        let mut start = area.gpa.bytes();
        let first = memory.partition_point(|region| region.1 <= start);
        let hit = memory
            .iter()
            .skip(first)
            .take_while(|region| region.0 < area.end());
        for region in hit {
            outside.push((start, region.0));
            start = region.1;
        }
        outside.push((start, area.end()));
    }
    outside.retain(|(start, end)| start < end);
    outside.sort_unstable();
    // All that is in one hole between regions is one band, or a crowd of strays would be a crowd of bands.
    let hole = |at: u64| memory.partition_point(|region| region.0 <= at);
    let mut outside_by_hole: Vec<(u64, u64)> = Vec::new();
    for (start, end) in outside {
        match outside_by_hole.last_mut() {
            Some(last) if hole(last.0) == hole(start) => last.1 = last.1.max(end),
            _ => outside_by_hole.push((start, end)),
        }
    }
    let band = |is_memory: bool| {
        move |(start, end): (u64, u64)| Band {
            start,
            end,
            is_memory,
            lines: Vec::new(),
        }
    };
    let outside = outside_by_hole.into_iter().map(band(false));
    // Regions that touch are drawn as the regions that they are.
    let mut bands: Vec<Band> = regions.into_iter().map(band(true)).chain(outside).collect();
    bands.sort_by_key(|band| band.start);
    bands
}

/// Joins what overlaps or touches in an ascending list.
fn merged(ranges: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for &(start, end) in ranges {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}
