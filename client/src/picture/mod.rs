//! A picture of a guest's memory: which pages are staged where, and of what types.
//!
//! ```text
//! Plan ────────┐                       ┌─ terminal ─▶ text for a terminal, a letter for each piece of memory
//!              ├─▶ Drawing ─▶ layout ──┤
//! ledger ──────┘  (areas, regions)     └─ svg ──────▶ one file for a ticket
//! ```
//!
//! Memory is drawn to scale in rows of 64 cells, as a page of text is read. Rows in which nothing is staged are left out and said, so that three pages in a
//! terabyte are three rows.
//!
//! **Invariant:** never more than a small number of rows and shapes, however many areas there are; every row in which something is staged is drawn, and where
//! types crowd, the rarest shows.

mod drawing;
mod layout;
mod palette;
mod shapes;
mod svg;
mod terminal;
#[cfg(test)]
mod tests;

pub use drawing::{Area, Drawing};
pub use svg::svg;
pub use terminal::{Style, text};
