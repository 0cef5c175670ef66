//! `stagepagesd demo`: placeholder until the walkthrough lands.
use std::process::ExitCode;

use crate::cli::DemoArgs;

/// Shows the story.
///
/// # Errors
/// What failed.
pub fn run(_args: &DemoArgs) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
