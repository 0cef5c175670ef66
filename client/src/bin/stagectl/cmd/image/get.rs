//! `stagectl image get`.
//!
//! **Invariant:** changes nothing, also not when the image was used last.

use stagepages_client::images::ImageName;

use super::show::ImageDocument;
use crate::{cli::Context, failure::Failure};

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// The image: images/sha256:HEX, or sha256:HEX.
    #[arg(value_name = "IMAGE")]
    name: ImageName,
}

impl Get {
    /// Runs it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let image = context.client().await?.get_image(self.name).await?;
        Ok(context.output.document(&ImageDocument::from(&image))?)
    }
}
