//! `stagectl launch verify`.
//!
//! **Invariant:** succeeds only if nothing differs.

use std::fmt;

use serde::Serialize;
use stagepages_client::{addr::Gpa, v1, words};

use crate::{args::Target, cli::Context, failure::Failure, table::Table};

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Serialize)]
struct Verified {
    consistent: bool,
    pages_checked: u64,
    contents_checked: u64,
    findings_total: u64,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Finding {
    gpa: String,
    kind: String,
}

impl Verify {
    /// Runs it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let launch = self.target.launch();
        let answer = context.client().await?.verify_launch(&launch).await?;
        context.output.document(&Verified::from(&answer))?;
        if answer.consistent {
            return Ok(());
        }
        let what = format!(
            "{} pages of {launch} differ from the ledger",
            answer.findings_total
        );
        Err(Failure::new(
            what,
            "do not run this guest: abort the launch, and look for who else writes to its memory",
        )
        .documented())
    }
}

impl From<&v1::VerifyLaunchResponse> for Verified {
    fn from(answer: &v1::VerifyLaunchResponse) -> Self {
        let finding = |it: &v1::VerifyFinding| Finding {
            gpa: Gpa::new(it.gpa).to_string(),
            kind: words::finding(it.kind).into(),
        };
        Self {
            consistent: answer.consistent,
            pages_checked: answer.pages_checked,
            contents_checked: answer.contents_checked,
            findings_total: answer.findings_total,
            findings: answer.findings.iter().map(finding).collect(),
        }
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.consistent {
            "consistent"
        } else {
            "NOT consistent"
        };
        write!(
            f,
            "{verdict}: {} installed pages checked, {} of them hashed anew; {} pages differ",
            self.pages_checked, self.contents_checked, self.findings_total
        )?;
        if self.pages_checked == 0 && self.findings_total == 0 {
            let unseen = "there is none, or nobody but the guest can look at them (sev-snp, tdx)";
            write!(f, "\nno installed page was checked: {unseen}")?;
        }
        if self.findings.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(["GPA", "DIFFERENCE"]);
        for finding in &self.findings {
            table.row([finding.gpa.clone(), finding.kind.clone()]);
        }
        write!(f, "\n{table}")
    }
}
