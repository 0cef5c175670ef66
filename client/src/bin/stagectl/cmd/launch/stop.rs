//! `stagectl launch stop`.
//!
//! **Invariant:** succeeds only if the guest has stopped; whether its memory is back already, the document says.

use super::show::Shown;
use crate::{args::Target, cli::Context, failure::Failure};

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    target: Target,
}

impl Stop {
    /// Runs it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let launch = context
            .client()
            .await?
            .stop_launch(&self.target.launch())
            .await?;
        Ok(context.output.document(&Shown::new(&launch))?)
    }
}
