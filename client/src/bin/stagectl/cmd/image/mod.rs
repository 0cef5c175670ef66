//! `stagectl image`: what the daemon keeps, so that it need not travel again.
//!
//! **Invariant:** one file per subcommand; how an image is shown is in `show`.

use clap::Subcommand;

use crate::{cli::Context, failure::Failure};

mod get;
mod grant;
mod list;
mod push;
mod remove;
mod show;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Store a file, if it is not stored; a repeat goes on where an earlier one was cut off.
    Push(push::Push),
    /// List stored images, by digest.
    List,
    /// Show a stored image.
    Get(get::Get),
    /// Give a stored image to another tenant.
    Grant(grant::Grant),
    /// Remove stored images; those that are being staged stay.
    Rm(remove::Remove),
}

impl ImageCommand {
    /// Runs it.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Push(command) => command.run(context).await,
            Self::List => list::run(context).await,
            Self::Get(command) => command.run(context).await,
            Self::Grant(command) => command.run(context).await,
            Self::Rm(command) => command.run(context).await,
        }
    }
}
