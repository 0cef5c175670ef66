//! `stagectl launch start`.
//!
//! **Invariant:** does not wait for the guest's end; `watch` and `console` do.

use super::show::Shown;
use crate::{args::Target, cli::Context, failure::Failure};

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Start {
    #[command(flatten)]
    target: Target,
}

impl Start {
    /// Runs it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let launch = context
            .client()
            .await?
            .start_launch(&self.target.launch())
            .await?;
        Ok(context.output.document(&Shown::new(&launch))?)
    }
}
