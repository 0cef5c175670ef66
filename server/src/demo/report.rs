//! What the demo writes: numbered steps, each with what was asked, what came back, and why that matters.
//!
//! **Invariant:** one writer, line by line; no colours and no cursor movement, so that it reads the same in a file.

use std::io::{self, Write};

/// Columns of a line at most, if no word is longer.
const WIDTH: usize = 100;
/// Columns before the text of a step.
const INDENT: usize = 10;

/// The writer.
pub(super) struct Report<'a> {
    out: &'a mut dyn Write,
    steps: usize,
}

impl<'a> Report<'a> {
    /// Writes to `out`.
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self { out, steps: 0 }
    }

    /// A line of its own.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// A paragraph.
    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        self.wrapped("", 0, text)
    }

    /// Begins the next step.
    pub(super) fn step(&mut self, heading: &str) -> io::Result<()> {
        self.steps += 1;
        writeln!(self.out, "\n{:>2}  {heading}", self.steps)
    }

    /// What is asked.
    pub(super) fn asked(&mut self, text: &str) -> io::Result<()> {
        self.wrapped("asked", INDENT, text)
    }

    /// What came back.
    pub(super) fn answer(&mut self, text: &str) -> io::Result<()> {
        self.wrapped("answer", INDENT, text)
    }

    /// More of what came back.
    pub(super) fn more(&mut self, text: &str) -> io::Result<()> {
        self.wrapped("", INDENT, text)
    }

    /// Why it matters.
    pub(super) fn why(&mut self, text: &str) -> io::Result<()> {
        self.wrapped("why", INDENT, text)
    }

    /// Begins a line of progress.
    pub(super) fn progress(&mut self) -> io::Result<()> {
        write!(self.out, "    {:<INDENT$}", "pages")
    }

    /// How far it is, at once, on that line.
    pub(super) fn so_far(&mut self, pages: u64) -> io::Result<()> {
        write!(self.out, "{pages} ")?;
        self.out.flush()
    }

    /// Ends that line.
    pub(super) fn progress_done(&mut self, total: u64) -> io::Result<()> {
        writeln!(self.out, "of {total}")
    }

    /// `text` behind `label`, its later lines under the first one's text.
    fn wrapped(&mut self, label: &str, indent: usize, text: &str) -> io::Result<()> {
        let margin = if indent == 0 { 0 } else { 4 };
        let mut label = label;
        for line in wrap(text, WIDTH - margin - indent) {
            writeln!(self.out, "{:margin$}{label:<indent$}{line}", "")?;
            label = "";
        }
        Ok(())
    }
}

/// Cuts between words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_whole_and_in_order() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("a longerthanthat b", 5), ["a", "longerthanthat", "b"]);
        assert!(wrap(" ", 5).is_empty());
    }

    #[test]
    fn a_step_is_numbered_and_its_lines_are_indented() {
        let mut out = Vec::new();
        let mut report = Report::new(&mut out);
        report.step("One").expect("writes");
        report.asked(&"word ".repeat(30)).expect("writes");
        let text = String::from_utf8(out).expect("is text");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], " 1  One");
        assert!(lines[2].starts_with("    asked     word word"), "{text}");
        assert!(lines[3].starts_with("              word"), "{text}");
        assert!(lines.iter().all(|line| line.len() <= WIDTH), "{text}");
    }
}
