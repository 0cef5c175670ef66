//! What verification found, for people and for programs.

use std::fmt;

use serde::Serialize;
use stagepages_audit::{Problem, Report};

use crate::table::Table;

/// The document.
#[derive(Debug, Serialize)]
pub(super) struct AuditDocument {
    /// Whether nothing is wrong.
    sound: bool,
    files: u64,
    records: u64,
    /// The first number; null without records.
    first: Option<u64>,
    /// SEQ:HASH of the last record, to be kept elsewhere; null without records.
    head: Option<String>,
    /// Ends that a crash tore and a later daemon mended.
    mended: u64,
    /// Bytes of a line at the very end that a crash tore, or that is being written.
    torn_bytes: u64,
    problems: Vec<ProblemDocument>,
    /// Problems beyond these.
    more_problems: u64,
}

#[derive(Debug, Serialize)]
struct ProblemDocument {
    file: String,
    line: u64,
    kind: &'static str,
    problem: String,
}

impl From<&Report> for AuditDocument {
    fn from(report: &Report) -> Self {
        let problem = |it: &Problem| ProblemDocument {
            file: it.file.clone(),
            line: it.line,
            kind: it.what.kind(),
            problem: it.what.to_string(),
        };
        Self {
            sound: report.is_sound(),
            files: report.files,
            records: report.records,
            first: report.first,
            head: report.head.map(|head| head.to_string()),
            mended: report.mended,
            torn_bytes: report.torn_end.as_ref().map_or(0, |end| end.bytes),
            problems: report.problems.iter().map(problem).collect(),
            more_problems: report.more,
        }
    }
}

impl fmt::Display for AuditDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::bare();
        let found = if self.sound { "sound" } else { "NOT SOUND" };
        let head = self.head.as_deref().unwrap_or("none");
        let records = match self.first {
            Some(first) => format!("{}, from number {first}", self.records),
            None => "none".to_owned(),
        };
        for (name, value) in [("audit log", found), ("records", &records), ("head", head)] {
            table.row([name.to_owned(), value.to_owned()]);
        }
        if self.mended > 0 {
            table.row(["crashes".to_owned(), format!("{}, mended", self.mended)]);
        }
        if self.torn_bytes > 0 {
            table.row([
                "torn end".to_owned(),
                format!("{} bytes of a line that was never whole", self.torn_bytes),
            ]);
        }
        write!(f, "{table}")
    }
}
