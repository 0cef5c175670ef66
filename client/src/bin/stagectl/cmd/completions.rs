//! `stagectl completions`: a shell's completions, on standard output.
//!
//! **Invariant:** needs no daemon.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::{cli::Cli, failure::Failure, output};

/// The command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell, for example: source <(stagectl completions bash)
    shell: Shell,
}

impl Completions {
    /// Prints them.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "stagectl", &mut script);
        Ok(output::raw(&script)?)
    }
}
