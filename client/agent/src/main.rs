//! `stagepages-node-agent`: what a Kubernetes node needs to stage launches.
#![forbid(unsafe_code)]

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use stagepages_node_agent::{
    cli::{Cli, Command},
    crds, logging,
    run::run,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Some(Command::Crds) => print_crds(),
        None => logging::init(&cli.log)
            .map_err(Into::into)
            .and_then(|()| run(cli.settings)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The log may not be up, and whoever started this reads standard error.
            drop(io::stderr().write_fmt(format_args!("stagepages-node-agent: {error:#}\n")));
            ExitCode::FAILURE
        }
    }
}

fn print_crds() -> anyhow::Result<()> {
    io::stdout().write_all(crds::yaml()?.as_bytes())?;
    Ok(())
}
