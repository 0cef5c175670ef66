//! The command line of `stagepages-node-agent`. Each flag is also a variable, for a pod's manifest sets those more easily.
//!
//! **Invariant:** a [`Settings`] that was made has a node's name and absolute directories.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use stagepages_client::Endpoint;

use crate::{logging::LogArgs, registry::Access};

/// The Kubernetes node agent of stagepages: offers the daemon's devices to pods, and carries out ConfidentialLaunch on this node.
#[derive(Debug, Parser)]
#[command(name = "stagepages-node-agent", version)]
pub struct Cli {
    /// Something else than to run.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What to run with.
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// How to log.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What is not running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Print the custom resource definitions as YAML
    Crds,
}

/// Flags, before they are known to suffice.
#[derive(Debug, Clone, Args)]
pub struct SettingsArgs {
    /// This node, as the API server calls it
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    pub node_name: Option<String>,
    /// The daemon's main socket
    #[arg(
        long,
        env = "STAGEPAGES_ENDPOINT",
        value_name = "ENDPOINT",
        default_value = "unix:/run/stagepages/api.sock"
    )]
    pub endpoint: Endpoint,
    /// The daemon's `device_dir`: one directory per device. It MUST have this path on the node too, for that is what pods are given
    #[arg(
        long,
        env = "STAGEPAGES_DEVICE_DIR",
        value_name = "DIR",
        default_value = "/run/stagepages/devices"
    )]
    pub device_dir: PathBuf,
    /// Kubelet's directory, with device-plugins/ and pod-resources/ in it
    #[arg(
        long,
        env = "KUBELET_DIR",
        value_name = "DIR",
        default_value = "/var/lib/kubelet"
    )]
    pub kubelet_dir: PathBuf,
    /// Serve grpc.health.v1 here, without TLS: tcp:IP:PORT
    #[arg(long, env = "HEALTH_LISTEN", value_name = "tcp:IP:PORT")]
    pub health_listen: Option<HealthListen>,
    /// Where images that are pulled lie until the daemon has them
    #[arg(
        long,
        env = "CACHE_DIR",
        value_name = "DIR",
        default_value = "/var/cache/stagepages-node-agent"
    )]
    pub cache_dir: PathBuf,
    /// Serve devices, and leave ConfidentialLaunch and LaunchImage alone: no API server is needed then
    #[arg(long, env = "ONLY_DEVICES")]
    pub only_devices: bool,
    /// Seconds that a launch whose guest does not run lives while no agent asks for it; by default as long as the daemon gives, a day
    #[arg(long, env = "LAUNCH_LEASE", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=2_592_000))]
    pub launch_lease: Option<u64>,
    /// How registries are reached.
    #[command(flatten)]
    pub access: Access,
}

/// What the agent runs with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This node, as the API server calls it.
    pub node_name: String,
    /// The daemon's main socket.
    pub endpoint: Endpoint,
    /// The daemon's `device_dir`.
    pub device_dir: PathBuf,
    /// Kubelet's directory.
    pub kubelet_dir: PathBuf,
    /// Where probes are answered; nowhere if unset.
    pub health_listen: Option<SocketAddr>,
    /// Where images that are pulled lie until the daemon has them.
    pub cache_dir: PathBuf,
    /// Whether there is no controller.
    pub only_devices: bool,
    /// How long a launch whose guest does not run lives without an agent; as the daemon gives if unset.
    pub launch_lease: Option<Duration>,
    /// How registries are reached.
    pub access: Access,
}

/// What is wrong with the flags.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Nobody said which node this is.
    #[error(
        "the node's name is not known; give --node-name, or set NODE_NAME from the pod's spec.nodeName"
    )]
    NodeName,
    /// A directory that depends on where the agent was started.
    #[error("{flag} {path:?} is not absolute; begin it with /")]
    Relative {
        /// Which flag.
        flag: &'static str,
        /// What was given.
        path: PathBuf,
    },
}

impl TryFrom<SettingsArgs> for Settings {
    type Error = SettingsError;

    fn try_from(args: SettingsArgs) -> Result<Self, SettingsError> {
        absolute("--device-dir", &args.device_dir)?;
        absolute("--kubelet-dir", &args.kubelet_dir)?;
        absolute("--cache-dir", &args.cache_dir)?;
        Ok(Self {
            node_name: args
                .node_name
                .filter(|name| !name.is_empty())
                .ok_or(SettingsError::NodeName)?,
            endpoint: args.endpoint,
            device_dir: args.device_dir,
            kubelet_dir: args.kubelet_dir,
            health_listen: args.health_listen.map(|listen| listen.0),
            cache_dir: args.cache_dir,
            only_devices: args.only_devices,
            launch_lease: args.launch_lease.map(Duration::from_secs),
            access: args.access,
        })
    }
}

fn absolute(flag: &'static str, path: &Path) -> Result<(), SettingsError> {
    if path.is_absolute() {
        return Ok(());
    }
    Err(SettingsError::Relative {
        flag,
        path: path.to_owned(),
    })
}

/// `tcp:IP:PORT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthListen(pub SocketAddr);

impl FromStr for HealthListen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix("tcp:")
            .and_then(|address| address.parse().ok())
            .map(Self)
            .ok_or("write tcp:IP:PORT, for example tcp:0.0.0.0:7444 or tcp:[::]:7444")
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parsed(args: &[&str]) -> Cli {
        Cli::parse_from(std::iter::once(&"agent").chain(args))
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_node_has_a_name() {
        let settings = Settings::try_from(parsed(&["--node-name="]).settings);
        assert_eq!(settings.unwrap_err(), SettingsError::NodeName);
    }

    #[test]
    fn directories_are_absolute() {
        let settings =
            Settings::try_from(parsed(&["--node-name=a", "--kubelet-dir=here"]).settings);
        let error = settings.unwrap_err().to_string();
        assert_eq!(
            error,
            "--kubelet-dir \"here\" is not absolute; begin it with /"
        );
    }

    #[test]
    fn health_is_served_on_an_address() {
        let parsed: HealthListen = "tcp:[::1]:80".parse().unwrap();
        assert_eq!(parsed.0.port(), 80);
        for wrong in ["127.0.0.1:80", "tcp:localhost:80", "unix:/a", "tcp:1"] {
            let error = wrong.parse::<HealthListen>().unwrap_err();
            assert!(error.starts_with("write tcp:IP:PORT"), "{wrong}");
        }
    }

    #[test]
    fn the_definitions_need_no_node() {
        assert_eq!(parsed(&["crds"]).command, Some(Command::Crds));
    }
}
