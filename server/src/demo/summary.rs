//! The end of the story: every count in one table, and their sum beside the number of pages that exist.
//!
//! **Invariant:** the sum is of the answers, the number of pages is the daemon's; neither is computed from the other.

use std::io;

use super::report::Report;

/// What was asked for, and what was counted for it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) what: String,
    /// Pages that the caller wanted installed.
    pub(super) asked: u64,
    /// Pages that its answers counted.
    pub(super) counted: u64,
    pub(super) answer: String,
}

/// The whole story in numbers.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) rows: Vec<Row>,
    /// Sum of all counts.
    pub(super) counted: u64,
    /// Distinct pages installed, as the records of the launches say at the end.
    pub(super) installed: u64,
}

impl Summary {
    /// Writes it.
    pub(super) fn show(&self, report: &mut Report<'_>) -> io::Result<()> {
        report.line("\nIn short\n")?;
        report.line(&line("asked for", "pages", "counted", "answer"))?;
        for row in &self.rows {
            let (asked, counted) = (row.asked.to_string(), row.counted.to_string());
            report.line(&line(&row.what, &asked, &counted, &row.answer))?;
        }
        let counted = self.counted.to_string();
        report.line(&line("sum of all counts", "", &counted, ""))?;
        let installed = self.installed.to_string();
        report.line(&line(
            "distinct pages installed",
            "",
            &installed,
            "the same: the rule held",
        ))?;
        report.line("")?;
        report.text(
            "Nothing was installed twice, nothing was overwritten, and whoever was stopped was told by which page, and whether \
             it held what the caller wanted. The service and its temporary directory are gone. To go on: README.md, with \
             `stagepagesd serve` and `stagectl`.",
        )
    }
}

fn line(what: &str, pages: &str, counted: &str, answer: &str) -> String {
    let line = format!("  {what:<38}{pages:>7}{counted:>9}   {answer}");
    line.trim_end().to_owned()
}
