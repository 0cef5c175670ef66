//! `stagectl id-block check`.
//!
//! **Invariant:** succeeds only if firmware would take it, for the launch that is described as far as it is described.

use std::path::PathBuf;

use bytes::Bytes;
use stagepages_client::{addr::ParseError, sev_snp::Policy};

use super::{document::IdBlockDocument, files};
use crate::{args::hex, cli::Context, failure::Failure};

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// The ID block, 96 bytes.
    #[arg(long, value_name = "FILE")]
    block: PathBuf,
    /// Its ID authentication information, 4096 bytes.
    #[arg(long, value_name = "FILE")]
    auth: PathBuf,
    /// Refuse unless it was signed for this launch digest, 48 bytes in hex.
    #[arg(long, value_name = "HEX", value_parser = digest)]
    digest: Option<Bytes>,
    /// Refuse unless it was signed for this guest policy: a number, or names with commas between.
    #[arg(long, value_name = "POLICY")]
    policy: Option<Policy>,
    /// Refuse unless an author key signed the ID key; one that is there is checked without this, too.
    #[arg(long)]
    author_key: bool,
}

fn digest(text: &str) -> Result<Bytes, ParseError> {
    hex::of_48(text, "a launch digest of sev-snp")
}

impl Check {
    /// Runs it.
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let signed = files::read(&self.block, &self.auth)?.signed;
        let mut problems = signed.problems(self.author_key || signed.auth.has_author_key());
        let policy = self.policy.map(|it| it.number());
        problems.extend(signed.disagreements(self.digest.as_deref(), policy));
        let document = IdBlockDocument::new(&signed, &problems);
        context.output.document(&document)?;
        let Some(first) = problems.first() else {
            return Ok(());
        };
        let what = format!("firmware would refuse this ID block: {first}");
        let others = problems.iter().skip(1).map(ToString::to_string);
        Err(
            Failure::new(what, "correct what is named, each with its way out")
                .with_more(others)
                .documented(),
        )
    }
}
