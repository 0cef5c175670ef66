//! `stagepagesd`: one binary, three roles (supervisor, daemon, launch host), and a demonstration.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use stagepages_host::{
    serve::HostConfig,
    wire::{SeqListener, take_stdin},
};
use stagepages_server::{
    cli::{Cli, Command, HostArgs, ServeArgs},
    config::Config,
    daemon, demo, logging,
    logging::Role,
    supervisor::{self, SupervisorConfig},
};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(args) => serve(&args),
        Command::Daemon(args) => daemon(*args).map(|()| ExitCode::SUCCESS),
        Command::Host(args) => host(args),
        Command::Demo(args) => demo::run(&args),
    };
    done.unwrap_or_else(|error| {
        // The log may not be up, and whoever started this reads standard error.
        drop(std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("stagepagesd: {error:#}\n"),
        ));
        ExitCode::FAILURE
    })
}

/// The supervisor. The configuration is read here too, so that a mistake in it is told before anything is started.
fn serve(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(args.config.as_deref(), args.settings.clone())?;
    logging::init(Role::Supervisor, &config.log, config.log_format)?;
    let supervisor = SupervisorConfig {
        program: supervisor::own_program(),
        daemon_args: args.to_args(),
        runtime_dir: config.runtime_dir,
        grace: config.grace,
        max_hosts: supervisor::DEFAULT_MAX_HOSTS,
    };
    Ok(supervisor::run(supervisor)?)
}

fn daemon(args: ServeArgs) -> anyhow::Result<()> {
    let config = Config::load(args.config.as_deref(), args.settings)?;
    logging::init(Role::Daemon, &config.log, config.log_format)?;
    daemon::run(config)
}

fn host(args: HostArgs) -> anyhow::Result<ExitCode> {
    logging::init(Role::Host, &args.log.to_string(), args.log_format)?;
    let listener =
        SeqListener::from(take_stdin().context("the supervisor's socket on standard input")?);
    let config = HostConfig {
        runtime_dir: args.runtime_dir.into_path(),
        chunk_pages: args.chunk_pages.get().into(),
    };
    let _launch = tracing::info_span!("host", uid = %args.id).entered();
    let ended = stagepages_host::serve::run(listener, config).context("the launch host")?;
    Ok(ended.exit_code().into())
}
