//! `stagectl launch abort`.
//!
//! **Invariant:** succeeds only if the launch is over; whether its memory is back already, the document says.

use super::show::Shown;
use crate::{args::Target, cli::Context, failure::Failure};

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Abort {
    #[command(flatten)]
    target: Target,
}

impl Abort {
    /// Runs it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let launch = context
            .client()
            .await?
            .abort_launch(&self.target.launch())
            .await?;
        Ok(context.output.document(&Shown::new(&launch))?)
    }
}
