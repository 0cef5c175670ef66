//! `stagectl audit verify`.
//!
//! **Invariant:** succeeds only if the log is the one that was written, from its first record that is here to its head.

use std::path::PathBuf;

use stagepages_audit::{Head, Verifier};

use super::{document::AuditDocument, files};
use crate::{cli::Context, failure::Failure};

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// A head that was kept elsewhere, as an earlier run printed it: the log has to hold that record still.
    #[arg(long, value_name = "SEQ:HASH")]
    expect_head: Option<Head>,
    /// The directory of the log, or its files, oldest first.
    #[arg(required = true, value_name = "DIR|FILE")]
    log: Vec<PathBuf>,
}

impl Verify {
    /// Runs it.
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut verifier = Verifier::new(self.expect_head);
        for path in files::of(&self.log)? {
            files::read(&path, |reader| {
                verifier.file(&path.display().to_string(), reader)
            })?;
        }
        let report = verifier.finish();
        context.output.document(&AuditDocument::from(&report))?;
        let Some(first) = report.problems.first() else {
            return Ok(());
        };
        let others = report.problems.iter().skip(1).map(ToString::to_string);
        let more = (report.more > 0).then(|| format!("and {} more", report.more));
        let hint = "compare it with a copy that was shipped elsewhere; deploy/AUDIT.md says what each finding means";
        Err(Failure::new(first.to_string(), hint)
            .with_more(others.chain(more))
            .documented())
    }
}
