//! The commands, one file each.
//!
//! **Invariant:** a command makes its calls first and prints one document at the end.

use crate::{
    cli::{Command, Context},
    failure::Failure,
};

pub(crate) mod audit;
pub(crate) mod completions;
pub(crate) mod diff;
pub(crate) mod digest;
pub(crate) mod id_block;
pub(crate) mod image;
pub(crate) mod install;
pub(crate) mod launch;
mod node;
pub(crate) mod plan;
pub(crate) mod stage;

/// Runs a command.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Node => node::run(context).await,
        Command::Launch(command) => command.run(context).await,
        Command::Plan(command) => command.run(context),
        Command::Digest(command) => command.run(context),
        Command::Stage(command) => command.run(context).await,
        Command::Diff(command) => command.run(context).await,
        Command::Image(command) => command.run(context).await,
        Command::IdBlock(command) => command.run(context),
        Command::Audit(command) => command.run(context),
        Command::Completions(command) => command.run(),
    }
}
