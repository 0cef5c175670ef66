//! `stagectl`, the operator's tool of stagepages.
//!
//! ```text
//! cli (what was asked) ──▶ cmd (one file per command: calls, then a document) ──▶ output (human or JSON)
//!                                        └──▶ failure (what happened, what to do, exit status)
//! ```
//!
//! Exit status: 0 only if what was asked for is so; 1 if not; 2 if the command line is wrong.
//!
//! **Invariant:** standard output carries the command's document and nothing else; errors and progress go to standard error.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

mod args;
mod cli;
mod cmd;
mod failure;
mod json;
mod output;
mod picture;
mod settings;
mod table;
mod wrap;

use cli::Cli;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => {
            // Help and version come this way too, with status 0. If the reader of it has gone, nobody misses it.
            drop(told.print());
            return ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(2));
        }
    };
    let context = cli.context();
    match cmd::run(cli.command, &context).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(context.output),
    }
}
