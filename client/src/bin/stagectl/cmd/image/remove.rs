//! `stagectl image rm`.
//!
//! JSON: `{"removed": ["images/sha256:…"]}`, also when a later one of several fails.
//!
//! **Invariant:** what was removed before a failure is told.

use std::fmt;

use serde::Serialize;
use stagepages_client::images::ImageName;

use crate::{cli::Context, failure::Failure};

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// The images: images/sha256:HEX, or sha256:HEX.
    #[arg(value_name = "IMAGE", required = true)]
    names: Vec<ImageName>,
}

#[derive(Debug, Default, Serialize)]
struct Removed {
    removed: Vec<String>,
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.removed.iter().map(|name| format!("{name} is removed"));
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}

impl Remove {
    /// Runs it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client().await?;
        let mut done = Removed::default();
        for name in self.names {
            match client.delete_image(name).await {
                Ok(()) => done.removed.push(name.to_string()),
                Err(error) if done.removed.is_empty() => return Err(error.into()),
                Err(error) => {
                    context.output.document(&done)?;
                    return Err(Failure::from(error).documented());
                }
            }
        }
        Ok(context.output.document(&done)?)
    }
}
