//! The picture as text.
//!
//! ```text
//! launches/vm-1: 1027 pages, 4M of 1T; a character is 4K
//!
//! 0x0+1T
//!             0x0  NNNNZZ..........................................................
//!                  1023.9G without pages
//! ```
//!
//! **Invariant:** plain ASCII but for names, and no line is longer than the width, unless that is too small for any picture.

use std::fmt::Write as _;

use super::{
    Drawing,
    drawing::{about, count},
    layout::{Band, COLUMNS, Layout, Line},
    palette::{Look, TYPES, look},
};
use crate::{addr::Gpa, plain, v1::PageType};

/// Rows that a screen has room for.
const ROWS: usize = 32;
/// Less room than this is not worth a name.
const SHORTEST_NAME: usize = 8;

/// How text is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Characters of a line. Names go where a row leaves room.
    pub width: usize,
    /// Whether escape sequences for colours are wanted.
    pub colour: bool,
}

/// Draws it, without a line break at the end.
#[must_use]
pub fn text(drawing: &Drawing, style: Style) -> String {
    let layout = Layout::of(drawing, ROWS);
    let last = layout.bands.iter().map(|band| band.end - 1);
    let highest = last.max().unwrap_or(0);
    let page = Page {
        drawing,
        layout: &layout,
        style,
        margin: Gpa::new(highest).to_string().len() + 2,
    };
    let mut lines = vec![format!(
        "{}: {}; a character is {}",
        plain(&drawing.title),
        drawing.summary(),
        about(layout.cell())
    )];
    for band in &layout.bands {
        page.band(band, &mut lines);
    }
    lines.push(String::new());
    lines.extend(page.legend());
    lines.join("\n")
}

struct Page<'a> {
    drawing: &'a Drawing,
    layout: &'a Layout,
    style: Style,
    /// Characters of an address.
    margin: usize,
}

impl Page<'_> {
    fn band(&self, band: &Band, lines: &mut Vec<String>) {
        let size = about(band.end - band.start);
        let outside = if band.is_memory {
            ""
        } else {
            " outside the guest's memory"
        };
        lines.extend([
            String::new(),
            format!("{}+{size}{outside}", Gpa::new(band.start)),
        ]);
        let margin = self.margin;
        for line in &band.lines {
            lines.push(match *line {
                Line::Empty(bytes) => format!("{:margin$}  {} without pages", "", about(bytes)),
                Line::Row(start) => {
                    let address = Gpa::new(start.max(band.start)).to_string();
                    let row = self.row(band, start);
                    format!("{address:>margin$}  {row}").trim_end().to_owned()
                }
            });
        }
    }

    fn row(&self, band: &Band, start: u64) -> String {
        let mut cells = vec![Cell::default(); COLUMNS as usize];
        let mut names: Vec<&str> = Vec::new();
        let end = start.saturating_add(self.layout.row());
        for area in &self.drawing.areas {
            let Some((from, to)) = band.clip(area) else {
                continue;
            };
            if from < end && start < to {
                self.paint(&mut cells, start, (from, to), area.page_type);
                let begins = from >= start && !area.name.is_empty();
                if begins && names.last() != Some(&area.name.as_str()) {
                    names.push(&area.name);
                }
            }
        }
        let letters = (0..).zip(&cells).map(|(nth, cell)| {
            let from = start.saturating_add(self.layout.cell().saturating_mul(nth));
            let to = from.saturating_add(self.layout.cell());
            let room = to.min(band.end).saturating_sub(from.max(band.start));
            cell.letter(room)
        });
        let mut row = self.coloured(letters);
        let room = self
            .style
            .width
            .saturating_sub(self.margin + COLUMNS as usize + 4);
        if !names.is_empty() && room >= SHORTEST_NAME {
            let names = cut(&plain(&names.join(", ")), room);
            let _infallible = write!(row, "  {names}");
        }
        row
    }

    /// Adds an area to the cells that it covers.
    fn paint(&self, cells: &mut [Cell], row: u64, area: (u64, u64), page_type: PageType) {
        let cell_bytes = self.layout.cell();
        let first = area.0.saturating_sub(row) / cell_bytes;
        let skipped = usize::try_from(first).unwrap_or(usize::MAX);
        for (nth, cell) in (first..).zip(cells.iter_mut().skip(skipped)) {
            let from = row.saturating_add(nth.saturating_mul(cell_bytes));
            let covered = area.1.min(from.saturating_add(cell_bytes));
            let covered = covered.saturating_sub(area.0.max(from));
            if covered == 0 {
                return;
            }
            cell.add(page_type, covered);
        }
    }

    /// Letters, each run of the same type in its colour.
    fn coloured(&self, letters: impl Iterator<Item = (char, Option<Look>)>) -> String {
        let mut text = String::new();
        let mut colour = None;
        for (letter, look) in letters {
            let wanted = look.filter(|_| self.style.colour).map(|look| look.sgr);
            if wanted != colour {
                if colour.is_some() {
                    text.push_str("\x1b[0m");
                }
                if let Some(sgr) = wanted {
                    let _infallible = write!(text, "\x1b[{sgr}m");
                }
                colour = wanted;
            }
            text.push(letter);
        }
        if colour.is_some() {
            text.push_str("\x1b[0m");
        }
        text
    }

    fn legend(&self) -> Vec<String> {
        let counts = self.drawing.counts();
        let mut lines: Vec<String> = Vec::new();
        for (page_type, pages) in &counts {
            let look = look(*page_type);
            let letter = self.coloured([(look.letter, Some(look))].into_iter());
            lines.push(format!("{letter}  {:<10}  {}", look.word, count(*pages)));
        }
        lines.push(".  no page".to_owned());
        if self.layout.cell() > crate::addr::PAGE_BYTES && !counts.is_empty() {
            lines.push(
                "a small letter: only a part of that piece of memory has pages of this type"
                    .to_owned(),
            );
        }
        lines
    }
}

/// What is staged in the memory that one character stands for: bytes of each type.
#[derive(Clone, Default)]
struct Cell {
    covered: [u64; TYPES.len()],
}

impl Cell {
    fn add(&mut self, page_type: PageType, bytes: u64) {
        let slots = TYPES.iter().zip(&mut self.covered);
        for (_, slot) in { slots }.filter(|(known, _)| **known == page_type) {
            *slot = slot.saturating_add(bytes);
        }
    }

    /// Of several types the rarest, and of those that are not rare the one with most pages. `room` is how much of it is memory.
    fn letter(&self, room: u64) -> (char, Option<Look>) {
        let staged = TYPES
            .into_iter()
            .zip(self.covered)
            .filter(|(_, bytes)| *bytes > 0);
        let top = staged.max_by_key(|(page_type, bytes)| (look(*page_type).rank, *bytes));
        match top {
            Some((page_type, bytes)) if bytes < room => {
                let look = look(page_type);
                (look.letter.to_ascii_lowercase(), Some(look))
            }
            Some((page_type, _)) => (look(page_type).letter, Some(look(page_type))),
            None if room > 0 => ('.', None),
            None => (' ', None),
        }
    }
}

/// The beginning of `text`, two dots for the rest.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room.saturating_sub(2)).collect();
    format!("{kept}..")
}
