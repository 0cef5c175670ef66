//! `stagectl image grant`.
//!
//! JSON: `{"name", "tenant"}`.
//!
//! **Invariant:** takes nothing from the caller; what the other tenant has already stays as it is.

use std::fmt;

use serde::Serialize;
use stagepages_client::images::ImageName;

use crate::{cli::Context, failure::Failure};

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Grant {
    /// The image: images/sha256:HEX, or sha256:HEX.
    #[arg(value_name = "IMAGE")]
    name: ImageName,
    /// The tenant, as the daemon's policy names it.
    #[arg(value_name = "TENANT")]
    tenant: String,
}

#[derive(Debug, Serialize)]
struct Granted {
    name: String,
    tenant: String,
}

impl fmt::Display for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is stored for {} too", self.name, self.tenant)
    }
}

impl Grant {
    /// Runs it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client().await?;
        client.grant_image(self.name, &self.tenant).await?;
        let granted = Granted {
            name: self.name.to_string(),
            tenant: self.tenant,
        };
        Ok(context.output.document(&granted)?)
    }
}
