//! `stagectl launch renew`.
//!
//! **Invariant:** changes nothing but when the lease runs out.

use super::show::Shown;
use crate::{args::Target, cli::Context, failure::Failure};

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Renew {
    #[command(flatten)]
    target: Target,
}

impl Renew {
    /// Runs it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client().await?;
        let launch = client.renew_lease(&self.target.launch()).await?;
        Ok(context.output.document(&Shown::new(&launch))?)
    }
}
