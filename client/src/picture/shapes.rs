//! What a row of the file shows: areas as shapes on a line.
//!
//! **Invariant:** no more shapes than a row has room for beside each other, of each type and name.

use std::cmp::Reverse;

use super::{Area, Drawing, drawing::count, layout::Band, palette::look};

/// All lengths are in hundredths of a pixel.
pub(super) const PIXEL: u64 = 100;
/// The length of a row: 10 pixels a cell.
pub(super) const LENGTH: u64 = 640 * PIXEL;
/// The narrowest that an area is drawn.
pub(super) const NARROWEST: u64 = 3 * PIXEL;
/// What is closer than this to an area of its type is drawn as one with it.
const CLOSE: u64 = PIXEL / 2;

/// Areas of one type that are drawn as one.
pub(super) struct Shape<'a> {
    /// From the left end of the row.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) first: &'a Area,
    areas: u64,
    pages: u64,
}

/// What a row shows, the rarest types and the smallest areas last, so that nothing hides them.
pub(super) fn shapes<'a>(
    drawing: &'a Drawing,
    band: &Band,
    (from, to): (u64, u64),
    x: impl Fn(u64) -> u64,
) -> Vec<Shape<'a>> {
    let mut parts: Vec<(&Area, u64, u64)> = drawing
        .areas
        .iter()
        .filter_map(|area| {
            let (start, end) = band.clip(area)?;
            let (start, end) = (start.max(from), end.min(to));
            (start < end).then_some((area, x(start), x(end)))
        })
        .collect();
    parts.sort_by_key(|(area, start, _)| (area.page_type, *start));
    let mut shapes: Vec<Shape<'a>> = Vec::new();
    for (area, start, end) in parts {
        let is_narrow = end < start + NARROWEST;
        let start = start.min(LENGTH - NARROWEST);
        let end = end.max(start + NARROWEST);
        match shapes.last_mut() {
            Some(last) if last.is_beside(area, start) && (is_narrow || last.is_named_as(area)) => {
                last.end = last.end.max(end);
                last.areas += 1;
                last.pages = last.pages.saturating_add(area.pages);
            }
            _ => shapes.push(Shape {
                start,
                end,
                first: area,
                areas: 1,
                pages: area.pages,
            }),
        }
    }
    shapes.sort_by_key(|shape| {
        let rank = look(shape.first.page_type).rank;
        (rank, Reverse(shape.end - shape.start))
    });
    shapes
}

impl Shape<'_> {
    /// Whether an area that begins at `start` could not be told from this one.
    fn is_beside(&self, area: &Area, start: u64) -> bool {
        area.page_type == self.first.page_type && start < self.end + CLOSE
    }

    fn is_named_as(&self, area: &Area) -> bool {
        area.name == self.first.name
    }

    /// Its tooltip.
    pub(super) fn told(&self) -> String {
        let (word, gpa) = (look(self.first.page_type).word, self.first.gpa);
        let pages = count(self.pages);
        let what = match self.areas {
            1 => format!("{pages} {word} at {gpa}"),
            areas => format!("{pages} {word} in {areas} areas from {gpa} on"),
        };
        match self.first.name.as_str() {
            "" => what,
            name => format!("{what}: {name}"),
        }
    }
}

/// How far into a row of `row` bytes something `bytes` into it is drawn.
pub(super) fn scaled(bytes: u64, row: u64) -> u64 {
    let x = u128::from(bytes) * u128::from(LENGTH) / u128::from(row.max(1));
    u64::try_from(x).unwrap_or(LENGTH).min(LENGTH)
}
