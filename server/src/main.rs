//! `stagepagesd`: one binary, three roles (supervisor, daemon, launch host), and a demonstration.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use stagepages_host::{
    sandbox::{Mode, SandboxError, host::Confinement, missing, supervisor as own},
    serve::{Builtin, HostConfig, policy, run_confined as serve_launch},
    wire::{SeqListener, take_stdin},
};
use stagepages_server::{
    cli::{CheckUpgradeArgs, Cli, Command, HostArgs, ServeArgs},
    config::Config,
    daemon, demo, logging,
    logging::Role,
    supervisor::{self, Sockets, SupervisorConfig},
};

/// Pages pass through buffers that their owners do not wipe; see deploy/SECURITY.md, "where page contents are".
#[global_allocator]
static HEAP: stagepages_kvm::WipingHeap = stagepages_kvm::WipingHeap::SYSTEM;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(args) => serve(&args),
        Command::Daemon(args) => daemon(&args).map(|()| ExitCode::SUCCESS),
        Command::Host(args) => host(args),
        Command::CheckUpgrade(args) => check_upgrade(&args).map(|()| ExitCode::SUCCESS),
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
    let config = Config::load(args.config.as_deref(), args.settings())?;
    logging::init(Role::Supervisor, &config.log, config.log_format)?;
    check_sandbox(&config)?;
    if config.sandbox != Mode::Off {
        own::confine()?;
    }
    // A successor has those of the build before it.
    let sockets = if args.take_over {
        Sockets::default()
    } else {
        Sockets::take(config.tls.is_some())?
    };
    let supervisor = supervisor_config(args, config, sockets);
    Ok(if args.take_over {
        supervisor::take_over(supervisor)?
    } else {
        supervisor::run(supervisor)?
    })
}

/// What `serve --take-over` would do with the same flags, told by the exit status before anything is given up.
fn check_upgrade(args: &CheckUpgradeArgs) -> anyhow::Result<()> {
    let config = Config::load(args.serve.config.as_deref(), args.serve.settings())?;
    check_sandbox(&config)?;
    let supervisor = supervisor_config(&args.serve, config, Sockets::default());
    Ok(supervisor::check_upgrade(
        &supervisor,
        args.state_version,
        &args.running_in,
    )?)
}

/// Tells what the kernel lacks, a line for each; that is the end where nothing may be missing.
fn check_sandbox(config: &Config) -> Result<(), SandboxError> {
    if config.sandbox == Mode::Off {
        tracing::warn!(
            "the sandbox is off: daemon and launch hosts can do all that their user can"
        );
        return Ok(());
    }
    let missing = missing(config.host_user);
    for one in &missing {
        tracing::warn!("the sandbox is weaker without {one}");
    }
    if config.sandbox == Mode::Require {
        SandboxError::if_missing(&missing)?;
    }
    Ok(())
}

/// How hosts are confined, in their flags.
fn host_args(config: &Config) -> Vec<String> {
    let mode = format!("--sandbox={}", config.sandbox);
    let user = config.host_user.map(|user| format!("--host-user={user}"));
    std::iter::once(mode).chain(user).collect()
}

fn supervisor_config(args: &ServeArgs, config: Config, sockets: Sockets) -> SupervisorConfig {
    SupervisorConfig {
        program: supervisor::own_program(),
        host_args: host_args(&config),
        host_uid: config.host_user.map(|user| user.uid()),
        host_programs: config.host_programs,
        host_env: config.host_env,
        daemon_args: args.to_args(),
        serve_args: args.to_args(),
        runtime_dir: config.runtime_dir,
        grace: config.grace,
        max_hosts: supervisor::DEFAULT_MAX_HOSTS,
        sockets,
    }
}

fn daemon(args: &ServeArgs) -> anyhow::Result<()> {
    let config = Config::load(args.config.as_deref(), args.settings())?;
    logging::init(Role::Daemon, &config.log, config.log_format)?;
    daemon::run(config)
}

fn host(args: HostArgs) -> anyhow::Result<ExitCode> {
    logging::init(Role::Host, &args.log.to_string(), args.log_format)?;
    let listener =
        SeqListener::from(take_stdin().context("the supervisor's socket on standard input")?);
    let config = HostConfig {
        id: args.id.to_string(),
        runtime_dir: args.runtime_dir.into_path(),
        chunk_pages: args.chunk_pages.get().into(),
        log: args.log.to_string(),
        log_format: args.log_format.to_string(),
    };
    let platforms = Builtin::new(&config.runtime_dir);
    // At the level that every filter lets through.
    let _launch = tracing::error_span!("host", uid = %args.id).entered();
    let confinement = Confinement::begin(policy(&config, args.sandbox, args.host_user))
        .context("the launch host")?;
    let ended = serve_launch(listener, config, Box::new(platforms), confinement)
        .context("the launch host")?;
    Ok(ended.exit_code().into())
}
