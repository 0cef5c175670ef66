//! Columns of text for people.
//!
//! **Invariant:** cells are made fit for a terminal here, so no label or message from elsewhere can drive it.

use std::fmt;

use stagepages_client::plain;

/// Rows of equally many cells, columns aligned left, two spaces between.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table with these headings.
    pub(crate) fn new(headings: [&str; N]) -> Self {
        Self {
            rows: vec![headings.map(str::to_owned)],
        }
    }

    /// A table of names and values, without headings.
    pub(crate) fn bare() -> Self {
        Self { rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| plain(&cell)));
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    /// Without a line break at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            self.rows
                .iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: [usize; N] = std::array::from_fn(width);
        for (nth, row) in self.rows.iter().enumerate() {
            let line: String = row
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:<width$}  "))
                .collect();
            let line_break = if nth == 0 { "" } else { "\n" };
            write!(f, "{line_break}{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let mut table = Table::new(["ID", "STATE"]);
        table.row(["vm-1".into(), "CREATED".into()]);
        table.row(["a".into(), String::new()]);
        assert_eq!(table.to_string(), "ID    STATE\nvm-1  CREATED\na");
    }

    #[test]
    fn cells_cannot_drive_the_terminal() {
        let mut table = Table::bare();
        table.row(["\x1b[2J\n".into()]);
        assert_eq!(table.to_string(), "\\u{1b}[2J");
    }
}
