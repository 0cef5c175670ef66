//! The command line of `stagepagesd`: two commands for people, two roles that the supervisor starts.
//!
//! **Invariant:** parsing has no effect and reads no environment.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use stagepages_sandbox::{HostUser, Mode};

use crate::{
    config::{
        Settings,
        sandbox::SandboxMode,
        values::{AbsolutePath, Count, LogFilter},
    },
    logging::LogFormat,
    supervisor::HostId,
};

/// Stages launch images into confidential VMs, each page once.
#[derive(Debug, Parser)]
#[command(name = "stagepagesd", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// A command, or a role of this binary.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API: start the daemon and keep it running
    Serve(Box<ServeArgs>),
    /// Show the whole story on a real image, in a temporary directory
    Demo(DemoArgs),
    /// The daemon; started by `serve`
    #[command(hide = true)]
    Daemon(Box<ServeArgs>),
    /// A launch host; started by `serve` when the daemon asks for one
    #[command(hide = true)]
    Host(HostArgs),
    /// Whether this build can go on for a running `serve`; started by that on SIGUSR2
    #[command(hide = true)]
    CheckUpgrade(Box<CheckUpgradeArgs>),
}

/// Flags of `serve`, which the daemon is started with in turn.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(
    after_help = "Every flag is also a key of the configuration file (max_launches) and a variable (STAGEPAGES_MAX_LAUNCHES)."
)]
pub struct ServeArgs {
    /// Configuration file, TOML [also: STAGEPAGES_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Go on for the build that ran this process until now; its state is on standard input. Only a supervisor says this, at its upgrade
    #[arg(long, hide = true)]
    pub take_over: bool,
    /// Refuse to start where the kernel lacks something for the sandbox: --sandbox=require
    #[arg(long, conflicts_with = "sandbox")]
    pub require_sandbox: bool,
    /// Everything else.
    #[command(flatten)]
    pub settings: Settings,
}

impl ServeArgs {
    /// What the flags set.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let mut settings = self.settings.clone();
        if self.require_sandbox {
            settings.sandbox = Some(SandboxMode::REQUIRE);
        }
        settings
    }

    /// The same flags, to pass on. Not `--take-over`, which is said once.
    #[must_use]
    pub fn to_args(&self) -> Vec<OsString> {
        let mut args = Vec::new();
        if let Some(file) = &self.config {
            let mut arg = OsString::from("--config=");
            arg.push(file);
            args.push(arg);
        }
        args.extend(self.settings().to_args());
        args
    }
}

/// Flags of `check-upgrade`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct CheckUpgradeArgs {
    /// Version of the state that would be handed over
    #[arg(long, value_name = "N")]
    pub state_version: u32,
    /// Runtime directory of the living hosts
    #[arg(long, value_name = "DIR")]
    pub running_in: PathBuf,
    /// What `serve` would go on with.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// Flags of `demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Platform to show [default: kvm where it works, else sim]
    #[arg(long)]
    pub platform: Option<DemoPlatform>,
    /// Image to stage [default: OVMF.fd where the package ovmf is installed, else a small one that comes with the demo]
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
}

/// A platform that the demo can show anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DemoPlatform {
    /// The model in memory
    Sim,
    /// Real guest_memfd
    Kvm,
}

/// Flags of the launch host.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct HostArgs {
    /// Uid of the launch, for the log; standard input is the socket that the daemon connects to
    #[arg(long, value_name = "ID")]
    pub id: HostId,
    /// Pages that are installed without looking up
    #[arg(long, value_name = "N", default_value = "64")]
    pub chunk_pages: Count<1, 4096>,
    /// Where the hosts of this machine share what simulated ones share
    #[arg(long, value_name = "DIR")]
    pub runtime_dir: AbsolutePath,
    /// What is logged
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log: LogFilter,
    /// How it is logged
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Whether it is confined. Its supervisor alone says this, and not the daemon
    #[arg(long, value_name = "on|off|require", default_value = "on")]
    pub sandbox: Mode,
    /// Whom it becomes
    #[arg(long, value_name = "UID:GID")]
    pub host_user: Option<HostUser>,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, error::ErrorKind};

    use super::*;

    fn parse(args: &[&str]) -> Result<Command, clap::Error> {
        Cli::try_parse_from(["stagepagesd"].iter().chain(args)).map(|cli| cli.command)
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_command_it_prints_help_and_exits_2() {
        let error = parse(&[]).expect_err("is no command");
        assert_eq!(
            error.kind(),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        );
        assert_eq!(error.exit_code(), 2);
        let help = error.to_string();
        assert!(help.contains("serve") && help.contains("demo"), "{help}");
        assert!(
            !help.contains("Serve the daemon") && !help.contains("launch host;"),
            "{help}"
        );
    }

    #[test]
    fn serve_passes_its_flags_on() {
        let given = [
            "--config",
            "/c.toml",
            "--listen",
            "unix:/a",
            "--listen=tcp:[::1]:0",
            "--grace",
            "1h",
        ];
        let given = [&["serve"], given.as_slice()].concat();
        let Command::Serve(serve) = parse(&given).expect("parses") else {
            panic!("not serve");
        };
        let args = serve.to_args();
        let args: Vec<&str> = args
            .iter()
            .map(|arg| arg.to_str().expect("is text"))
            .collect();
        let again = [&["daemon"], args.as_slice()].concat();
        let Command::Daemon(daemon) = parse(&again).expect("parses") else {
            panic!("not daemon");
        };
        assert_eq!(daemon, serve);
    }

    #[test]
    fn what_an_upgrade_says_to_the_new_build_is_understood_and_not_passed_on() {
        let words = [
            "check-upgrade",
            "--state-version=1",
            "--running-in=/r",
            "--grace=1s",
        ];
        let Ok(Command::CheckUpgrade(check)) = parse(&words) else {
            panic!("not check-upgrade");
        };
        assert_eq!(check.serve.to_args(), ["--grace=1000ms"]);
        let Ok(Command::Serve(serve)) = parse(&["serve", "--take-over", "--grace=1s"]) else {
            panic!("not serve");
        };
        assert!(serve.take_over);
        assert_eq!(serve.to_args(), check.serve.to_args());
    }

    #[test]
    fn requiring_the_sandbox_is_a_mode_and_not_said_beside_another() {
        let Ok(Command::Serve(serve)) = parse(&["serve", "--require-sandbox"]) else {
            panic!("not serve");
        };
        assert_eq!(serve.to_args(), ["--sandbox=require"]);
        parse(&["serve", "--require-sandbox", "--sandbox=off"]).expect_err("contradicts itself");
    }

    #[test]
    fn a_daemon_has_no_say_in_how_a_host_is_confined() {
        let twice = ["--sandbox=off", "--sandbox=on"];
        let flags = ["host", "--id=a", "--runtime-dir=/r"];
        parse(&[flags.as_slice(), &twice].concat()).expect_err("is refused");
        let Ok(Command::Host(host)) = parse(&flags) else {
            panic!("not host");
        };
        assert_eq!(host.sandbox, Mode::On, "confined unless told otherwise");
    }

    #[test]
    fn host_flags_are_checked() {
        let good = [
            "host",
            "--id=00ff",
            "--chunk-pages=7",
            "--runtime-dir=/r",
            "--log=debug",
        ];
        assert!(matches!(parse(&good), Ok(Command::Host(host)) if host.chunk_pages.get() == 7));
        for bad in [
            "--id=../x",
            "--id=",
            "--chunk-pages=0",
            "--runtime-dir=x",
            "--log=a=b=c",
        ] {
            assert!(parse(&[good.as_slice(), &[bad]].concat()).is_err(), "{bad}");
        }
        parse(&["host", "--runtime-dir=/r"]).expect_err("has no id");
    }
}
