//! `stagectl launch delete`.
//!
//! JSON: `{"deleted": "launches/vm-1"}`.
//!
//! **Invariant:** never aborts a launch in order to delete it.

use std::fmt;

use serde::Serialize;

use crate::{args::Target, cli::Context, failure::Failure};

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Serialize)]
struct Deleted {
    deleted: String,
}

impl fmt::Display for Deleted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is deleted", self.deleted)
    }
}

impl Delete {
    /// Runs it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let launch = self.target.launch();
        context.client().await?.delete_launch(&launch).await?;
        Ok(context.output.document(&Deleted {
            deleted: launch.name().to_owned(),
        })?)
    }
}
