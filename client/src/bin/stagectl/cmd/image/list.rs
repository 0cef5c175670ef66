//! `stagectl image list`.
//!
//! **Invariant:** changes nothing, also not what was used last.

use super::show::Listed;
use crate::{cli::Context, failure::Failure};

/// Runs it.
pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let images = context.client().await?.list_images().await?;
    Ok(context.output.document(&Listed::new(&images))?)
}
