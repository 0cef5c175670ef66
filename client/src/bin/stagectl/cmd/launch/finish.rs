//! `stagectl launch finish`.
//!
//! **Invariant:** compares no digest itself; the daemon refuses a mismatch before anything is finished.

use bytes::Bytes;

use super::show::Shown;
use crate::{
    args::{self, Target},
    cli::Context,
    failure::Failure,
};

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Finish {
    #[command(flatten)]
    target: Target,
    /// Refuse unless the launch digest is this one, in hex.
    #[arg(long, value_name = "HEX", value_parser = args::hex)]
    expect_digest: Option<Bytes>,
}

impl Finish {
    /// Runs it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client().await?;
        let launch = client
            .finish_launch(
                &self.target.launch(),
                self.expect_digest.unwrap_or_default(),
            )
            .await?;
        Ok(context.output.document(&Shown::new(&launch))?)
    }
}
