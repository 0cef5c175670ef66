//! The picture as a file: SVG without anything from elsewhere, for a ticket.
//!
//! Areas are drawn where they are, to a hundredth of a pixel, and never narrower than can be seen; what each is, its tooltip says.
//!
//! **Invariant:** the same drawing is always the same bytes; no name ends an element or begins one.

use std::fmt::Write as _;

use super::{
    Drawing,
    drawing::{about, count},
    layout::{Band, Layout, Line},
    palette::{Look, look},
    shapes::{LENGTH, NARROWEST, PIXEL, Shape, scaled, shapes},
};
use crate::{addr::Gpa, plain};

/// Rows that a screenful has room for.
const ROWS: usize = 48;
const WIDTH: u64 = 1000 * PIXEL;
/// Where rows begin, right of the addresses.
const LEFT: u64 = 150 * PIXEL;
const ROW: u64 = 16 * PIXEL;
const LINE: u64 = 20 * PIXEL;
/// From this width on an area has its letter in it: a page at the finest scale.
const LETTER: u64 = 9 * PIXEL;
/// The width of a colour in the legend.
const SWATCH: u64 = 12 * PIXEL;
/// Characters of a name that fit right of a row.
const NAME: usize = 26;

/// Draws it: a whole document.
#[must_use]
pub fn svg(drawing: &Drawing) -> String {
    let layout = Layout::of(drawing, ROWS);
    let mut sheet = Sheet {
        body: String::new(),
        y: 10 * PIXEL,
    };
    let title = escaped(&drawing.title);
    let scale = format!("{}; a row is {}", drawing.summary(), about(layout.row()));
    sheet.text(10 * PIXEL, "t", &title);
    sheet.text(10 * PIXEL, "s", &escaped(&scale));
    sheet.legend(drawing);
    for band in &layout.bands {
        sheet.band(drawing, &layout, band);
    }
    let (width, height) = (px(WIDTH), px(sheet.y + 10 * PIXEL));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
         <title>{title}</title>\n\
         <style>text{{font-family:monospace;font-size:11px;fill:#222}}.t{{font-size:15px;font-weight:bold}}\
         .a{{text-anchor:end}}.s{{fill:#555}}.m{{text-anchor:middle;font-weight:bold}}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{}</svg>\n",
        sheet.body
    )
}

struct Sheet {
    body: String,
    /// Where the next line begins.
    y: u64,
}

impl Sheet {
    /// A line of text. `text` is escaped.
    fn text(&mut self, x: u64, class: &str, text: &str) {
        let y = px(self.y + 12 * PIXEL);
        self.write(format_args!(
            "<text x=\"{}\" y=\"{y}\" class=\"{class}\">{text}</text>\n",
            px(x)
        ));
        self.y += LINE;
    }

    fn legend(&mut self, drawing: &Drawing) {
        let y = self.y;
        let mut x = 10 * PIXEL;
        for (page_type, pages) in drawing.counts() {
            let look = look(page_type);
            self.rect(x, y, SWATCH, ROW, look.fill, None);
            self.letter(x + SWATCH / 2, y, look);
            let text = format!("{} {}", look.word, count(pages));
            self.y = y;
            self.text(x + SWATCH + 5 * PIXEL, "s", &text);
            x += SWATCH + (text.len() as u64 * 7 + 20) * PIXEL;
        }
        self.y = y + LINE;
    }

    fn band(&mut self, drawing: &Drawing, layout: &Layout, band: &Band) {
        self.y += 6 * PIXEL;
        let outside = if band.is_memory {
            ""
        } else {
            " outside the guest's memory"
        };
        let size = about(band.end - band.start);
        self.text(
            10 * PIXEL,
            "b",
            &format!("{}+{size}{outside}", Gpa::new(band.start)),
        );
        for line in &band.lines {
            match *line {
                Line::Empty(bytes) => {
                    self.text(LEFT, "s", &format!("{} without pages", about(bytes)));
                }
                Line::Row(start) => self.row(drawing, layout, band, start),
            }
        }
    }

    fn row(&mut self, drawing: &Drawing, layout: &Layout, band: &Band, start: u64) {
        let (top, row) = (self.y, layout.row());
        let x = |at: u64| scaled(at.saturating_sub(start), row);
        let (from, to) = (
            band.start.max(start),
            band.end.min(start.saturating_add(row)),
        );
        let left = x(from).min(LENGTH - NARROWEST);
        let width = x(to).saturating_sub(left).max(NARROWEST);
        self.rect(LEFT + left, top, width, ROW, "#ececec", None);
        self.text(LEFT - 8 * PIXEL, "a", &Gpa::new(from).to_string());
        let shapes = shapes(drawing, band, (from, to), x);
        for shape in &shapes {
            let look = look(shape.first.page_type);
            let (left, width) = (LEFT + shape.start, shape.end - shape.start);
            let told = escaped(&shape.told());
            self.rect(left, top, width, ROW, look.fill, Some(&told));
            if width >= LETTER {
                self.letter(left + width / 2, top, look);
            }
        }
        self.y = top;
        self.names(&shapes, from);
        self.y = top + ROW + 2 * PIXEL;
    }

    /// What begins in the row that begins at `from`, right of it.
    fn names(&mut self, shapes: &[Shape<'_>], from: u64) {
        let mut begin: Vec<_> = shapes.iter().map(|shape| shape.first).collect();
        begin.retain(|area| area.gpa.bytes() >= from && !area.name.is_empty());
        begin.sort_by_key(|area| area.gpa);
        let mut names: Vec<&str> = begin.iter().map(|area| area.name.as_str()).collect();
        names.dedup();
        if names.is_empty() {
            return;
        }
        let names = names.join(", ");
        let cut: String = names.chars().take(NAME).collect();
        let dots = if cut.len() < names.len() { ".." } else { "" };
        let text = format!("{}{dots}", escaped(&cut));
        self.text(LEFT + LENGTH + 8 * PIXEL, "s", &text);
    }

    /// `told` is escaped.
    fn rect(&mut self, x: u64, y: u64, width: u64, height: u64, fill: &str, told: Option<&str>) {
        let (x, y, width, height) = (px(x), px(y), px(width), px(height));
        self.write(format_args!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\""
        ));
        match told {
            Some(told) => self.write(format_args!(
                " stroke=\"#fff\" stroke-width=\"0.5\"><title>{told}</title></rect>\n"
            )),
            None => self.write(format_args!("/>\n")),
        }
    }

    fn letter(&mut self, x: u64, y: u64, look: Look) {
        let (x, y, ink, letter) = (px(x), px(y + 12 * PIXEL), look.ink, look.letter);
        self.write(format_args!(
            "<text x=\"{x}\" y=\"{y}\" class=\"m\" style=\"fill:{ink}\">{letter}</text>\n"
        ));
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        let _infallible = self.body.write_fmt(text);
    }
}

/// Hundredths of a pixel as a number of pixels.
fn px(hundredths: u64) -> String {
    let (whole, rest) = (hundredths / PIXEL, hundredths % PIXEL);
    match rest {
        0 => whole.to_string(),
        rest => format!("{whole}.{rest:02}"),
    }
}

/// Text as XML takes it: no markup, no character that XML 1.0 does not know.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in plain(text).chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            char => out.push(char),
        }
    }
    out
}
