//! `stagectl node`: what this machine and its daemon can do, and what is missing.
//!
//! ```text
//! document   the whole as JSON: version, limits, usage, platforms
//! platform   one platform as JSON: what it can do, what was looked at, what KVM takes, how many guests fit
//! text       the whole for people
//! findings   one platform for people: what is missing first, with the way out
//! ```
//!
//! **Invariant:** shows every platform that the daemon knows, available or not.

mod document;
mod findings;
mod platform;
mod text;

use crate::{cli::Context, failure::Failure};

use document::NodeDocument;

/// Runs it.
pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let info = context.client().await?.node_info().await?;
    Ok(context.output.document(&NodeDocument::from(&info))?)
}
