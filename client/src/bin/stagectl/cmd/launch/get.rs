//! `stagectl launch get`.
//!
//! **Invariant:** changes nothing.

use super::show::Shown;
use crate::{args::Target, cli::Context, failure::Failure};

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    #[command(flatten)]
    target: Target,
}

impl Get {
    /// Runs it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let launch = context
            .client()
            .await?
            .get_launch(&self.target.launch())
            .await?;
        Ok(context.output.document(&Shown::new(&launch))?)
    }
}
