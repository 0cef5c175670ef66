//! `stagectl id-block`: the signed identity of an SEV-SNP guest, made and checked. No daemon is asked.
//!
//! **Invariant:** what is signed is said by the caller, never by a daemon or host.

use clap::Subcommand;

use crate::{cli::Context, failure::Failure};

mod check;
mod create;
mod document;
pub(crate) mod files;
mod subject;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum IdBlockCommand {
    /// Sign what a guest must be: its launch digest, its policy, and ids of your own.
    Create(Box<create::Create>),
    /// Show an ID block and whether firmware would take it; exit status 1 if it would not.
    Check(check::Check),
}

impl IdBlockCommand {
    /// Runs it.
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Create(command) => command.run(context),
            Self::Check(command) => command.run(context),
        }
    }
}
