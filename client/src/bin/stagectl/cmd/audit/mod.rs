//! `stagectl audit`: the daemon's audit log, read from its files. No daemon is asked.
//!
//! **Invariant:** no file is written, and nothing of a record is shown but its number and its hash.

use clap::Subcommand;

use crate::{cli::Context, failure::Failure};

mod document;
mod files;
mod verify;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check that nothing in an audit log was changed, removed, moved or put in, and print its head.
    Verify(verify::Verify),
}

impl AuditCommand {
    /// Runs it.
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Verify(command) => command.run(context),
        }
    }
}
