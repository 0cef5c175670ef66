//! The configuration: what an operator sets, by defaults < file < environment < flags, and what the daemon runs with.
//!
//! One struct, [`Settings`], has every key once; the file, the environment and the flags each fill one, and [`Config`] is what
//! they amount to. So no key can be missing from one of the three.
//!
//! **Invariant:** a `Config` that exists is valid; nothing but [`Config::load`] looks at the process or the machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    ffi::OsString,
    fs, io,
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

mod defaults;
mod devices;
mod file;
#[doc(hidden)]
pub mod fuzzing;
pub mod host_env;
pub mod host_programs;
mod machine;
pub mod sandbox;
mod settings;
pub mod status_listen;
#[cfg(test)]
mod tests;
mod tls;
pub mod traces;
pub mod values;
mod variable;

use stagepages_host::platform::PlatformKind;
use stagepages_sandbox::{BadHostUser, HostUser, Mode};

pub use devices::{DeviceConfig, DeviceCount, SOCKET_NAME};
pub use machine::Machine;
use sandbox::SandboxMode;
pub use settings::Settings;
use traces::{OtlpEndpoint, TraceRatio};
use values::{Switch, ValueError};

use crate::{
    audit,
    logging::LogFormat,
    net::{Limits, Listen, MAX_SOCKET_PATH_BYTES, Shares, TlsFiles, TooSmall},
};

/// What the daemon runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Addresses to serve on; at least one.
    pub listen: Vec<Listen>,
    /// Addresses to serve the status page on; there may be none.
    pub status_listen: Vec<Listen>,
    /// Addresses to serve metrics on; none where nobody is to have them.
    pub metrics_listen: Vec<Listen>,
    /// What TCP is served with; there where an address of TCP is.
    pub tls: Option<TlsFiles>,
    /// How long a new connection may take until it speaks HTTP/2.
    pub handshake_timeout: Duration,
    /// Connections at one time that do not speak HTTP/2 yet.
    pub max_handshakes: u32,
    /// Where state outlives the daemon; absolute. It need not exist.
    pub state_dir: PathBuf,
    /// Where sockets live; absolute. It need not exist.
    pub runtime_dir: PathBuf,
    /// Mode of the Unix sockets.
    pub socket_mode: u32,
    /// Group of the Unix sockets, by name or number.
    pub socket_group: Option<String>,
    /// Who may do what; absolute. Without it, who runs the daemon, and root.
    pub policy: Option<PathBuf>,
    /// Where health is answered without TLS; nowhere if unset.
    pub health_listen: Option<SocketAddr>,
    /// Devices, where there are some.
    pub devices: Option<DeviceConfig>,
    /// What is logged, as tracing-subscriber's EnvFilter reads it; valid.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
    /// Where spans are sent; `None` if no call is traced.
    pub otlp_endpoint: Option<OtlpEndpoint>,
    /// Of how many calls, where the caller does not say.
    pub trace_ratio: TraceRatio,
    /// How long calls in progress may take to finish when the daemon shuts down.
    pub grace: Duration,
    /// Launches at one time, ended ones included until they are deleted.
    pub max_launches: u32,
    /// Memory regions of one launch.
    pub max_regions: u32,
    /// Sum of the sizes of one launch's regions, in bytes.
    pub max_memory_bytes: u64,
    /// Connections at one time.
    pub max_connections: u32,
    /// Calls at one time on one connection.
    pub max_streams_per_connection: u32,
    /// What all peers together may have under way to the daemon, in bytes.
    pub receive_budget_bytes: u64,
    /// How long a call waits for a peer that stopped in the middle.
    pub stall_timeout: Duration,
    /// How long a connection may be without a call.
    pub idle_timeout: Duration,
    /// StagePages calls of one launch that may wait or run at one time.
    pub max_pending_calls: u32,
    /// Pages that are installed without looking up.
    pub chunk_pages: u32,
    /// What the ledgers of ended launches may take on disk, in bytes.
    pub ended_ledgers_max_bytes: u64,
    /// How many launches may wait for one firmware; `None` if nobody decides whose pages go when.
    pub max_queued_launches: Option<NonZeroUsize>,
    /// Largest stored image, in bytes.
    pub max_image_bytes: u64,
    /// What stored images and unfinished writes may take on disk, in bytes.
    pub image_quota_bytes: u64,
    /// How long an unfinished write of an image is kept that nobody goes on with.
    pub image_write_idle: Duration,
    /// How much of the audit log is kept; `None` if there is none.
    pub audit: Option<audit::Limits>,
    /// Where the audit log is; absolute. It need not exist.
    pub audit_dir: PathBuf,
    /// Programs that hosts run instead of the built-in one, by the name of their platform. The supervisor alone starts them.
    pub host_programs: BTreeMap<String, PathBuf>,
    /// Environment variables that hosts get from the supervisor, by name; they get no others.
    pub host_env: BTreeSet<String>,
    /// Whether daemon and hosts are confined.
    pub sandbox: Mode,
    /// Whom hosts become; `None` for the supervisor's own user.
    pub host_user: Option<HostUser>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file says something that is not understood.
    #[error("{}:{line}: {text:?}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The line itself, with the key in it.
        text: String,
        /// What is wrong with it.
        message: String,
    },
    /// A variable has a value that is not understood.
    #[error("environment variable {variable}")]
    Variable {
        /// Its name.
        variable: String,
        /// What is wrong with it.
        source: ValueError,
    },
    /// There is no home directory to put a default under.
    #[error(
        "HOME is not set, so there is no default for the state directory; set --state-dir, state_dir or STAGEPAGES_STATE_DIR"
    )]
    NoHome,
    /// The default socket cannot lie in the runtime directory.
    #[error(
        "socket path {} is longer than {MAX_SOCKET_PATH_BYTES} bytes; set a shorter runtime_dir, or listen",
        .0.display()
    )]
    SocketPath(PathBuf),
    /// TCP is served with TLS only.
    #[error(
        "{key} {address}: TCP is served with mutual TLS only, and {missing} is not set; set it, or listen on a unix: address"
    )]
    TcpWithoutTls {
        /// The key that has it.
        key: &'static str,
        /// The address.
        address: Listen,
        /// The keys that are not set.
        missing: String,
    },
    /// The status page is served nowhere, and somewhere.
    #[error("status_listen has \"off\" beside an address; write one of them")]
    StatusListen,
    /// TLS that is configured in part.
    #[error("{0} is not set; tls_cert, tls_key and tls_client_ca go together")]
    HalfTls(String),
    /// Devices need a place.
    #[error("devices is set ({0}), and device_dir is not; set it to where their sockets are to be")]
    DevicesWithoutDir(DeviceCount),
    /// One platform, two numbers.
    #[error("devices: {0} is there twice; write one number for each platform")]
    DevicesTwice(PlatformKind),
    /// The sockets of devices have no room.
    #[error("device_dir {} is longer than {max} bytes, so that sockets in it cannot be reached; set a shorter one", dir.display())]
    DeviceDir {
        /// What was given.
        dir: PathBuf,
        /// The longest.
        max: usize,
    },
    /// The receive budget and the connections do not go together.
    #[error(transparent)]
    ReceiveBudget(#[from] TooSmall),
    /// There is no such user for hosts.
    #[error("host_user")]
    HostUser(#[from] BadHostUser),
    /// Only root can give hosts another user.
    #[error(
        "host_user is set, and only root can start hosts as another user; unset it, or start the service as root"
    )]
    HostUserNotRoot,
    /// The machine does not tell how much memory it has.
    #[error(
        "cannot read the machine's memory from {}; set max_memory_bytes",
        machine::MEMINFO
    )]
    Memory(#[source] io::Error),
}

impl Config {
    /// The configuration of this process: flags over its environment over the file that `--config` or `STAGEPAGES_CONFIG` names.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn load(config: Option<&Path>, flags: Settings) -> Result<Self, ConfigError> {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let path = config
            .map(Path::to_owned)
            .or_else(|| variable("STAGEPAGES_CONFIG").map(PathBuf::from));
        let file = match path {
            None => Settings::default(),
            Some(path) => match fs::read_to_string(&path) {
                Ok(text) => file::parse(&path, &text)?,
                Err(source) => return Err(ConfigError::Read { path, source }),
            },
        };
        let machine = Machine::this().map_err(ConfigError::Memory)?;
        let set = flags.or(Settings::from_env(variable)?).or(file);
        Self::resolve(set, variable, machine)
    }

    /// What `set` amounts to, with defaults for the rest.
    ///
    /// # Errors
    /// A default cannot be made from the environment, or two settings do not go together.
    pub fn resolve(
        set: Settings,
        variable: impl Fn(&str) -> Option<OsString>,
        machine: Machine,
    ) -> Result<Self, ConfigError> {
        let runtime_dir = match set.runtime_dir {
            Some(dir) => dir.into_path(),
            None => defaults::runtime_dir(&variable, machine.uid),
        };
        let state_dir = match set.state_dir {
            Some(dir) => dir.into_path(),
            None => defaults::state_dir(&variable, machine.uid).ok_or(ConfigError::NoHome)?,
        };
        let audit_dir = match set.audit_dir {
            Some(dir) => dir.into_path(),
            None => state_dir.join("audit"),
        };
        let host_user = set.host_user.map(|name| name.find()).transpose()?;
        if host_user.is_some() && machine.uid != 0 {
            return Err(ConfigError::HostUserNotRoot);
        }
        let limits = Limits::default();
        let listen = match set.listen {
            Some(listen) if !listen.is_empty() => listen,
            Some(_) | None => {
                let path = runtime_dir.join("api.sock");
                if path.as_os_str().len() > MAX_SOCKET_PATH_BYTES {
                    return Err(ConfigError::SocketPath(path));
                }
                vec![Listen::Unix(path)]
            }
        };
        let status_listen = status_listen::addresses(set.status_listen, &runtime_dir)?;
        let tls = tls::files(
            set.tls_cert,
            set.tls_key,
            set.tls_client_ca,
            set.tls_identity,
            &[("listen", &listen), ("status_listen", &status_listen)],
        )?;
        let config = Self {
            listen,
            status_listen,
            metrics_listen: set.metrics_listen.unwrap_or_default(),
            audit_dir,
            tls,
            handshake_timeout: set
                .handshake_timeout
                .map_or(limits.handshake_timeout, |time| time.get()),
            max_handshakes: set.max_handshakes.map_or(256, |count| count.get()),
            state_dir,
            runtime_dir,
            socket_mode: set.socket_mode.unwrap_or_default().bits(),
            socket_group: set.socket_group.map(|group| group.into_name()),
            policy: set.policy.map(|file| file.into_path()),
            health_listen: set.health_listen.map(|address| address.get()),
            devices: devices::devices(set.device_dir, set.devices)?,
            log: set.log.unwrap_or_default().into_string(),
            log_format: set.log_format.unwrap_or_default(),
            otlp_endpoint: set.otlp_endpoint,
            trace_ratio: set.trace_ratio.unwrap_or_default(),
            grace: set.grace.map_or(defaults::GRACE, |grace| grace.get()),
            max_launches: set.max_launches.map_or(1000, |count| count.get()),
            max_regions: set.max_regions.map_or(64, |count| count.get()),
            max_memory_bytes: set.max_memory_bytes.map_or_else(
                || defaults::max_memory_bytes(machine.memory_bytes),
                |bytes| bytes.get(),
            ),
            max_connections: set.max_connections.map_or(1024, |count| count.get()),
            max_streams_per_connection: set
                .max_streams_per_connection
                .map_or(128, |count| count.get()),
            receive_budget_bytes: set
                .receive_budget_bytes
                .map_or(limits.receive_budget_bytes, |bytes| bytes.get()),
            stall_timeout: set
                .stall_timeout
                .map_or(limits.stall_timeout, |time| time.get()),
            idle_timeout: set
                .idle_timeout
                .map_or(limits.idle_timeout, |time| time.get()),
            max_pending_calls: set.max_pending_calls.map_or(32, |count| count.get()),
            chunk_pages: set.chunk_pages.map_or(64, |count| count.get()),
            ended_ledgers_max_bytes: set
                .ended_ledgers_max_bytes
                .map_or(1 << 30, |bytes| bytes.get()),
            max_queued_launches: match set.scheduler {
                Some(Switch::Off) => None,
                Some(Switch::On) | None => {
                    let most = set.max_queued_launches.map_or(64, |count| count.get());
                    usize::try_from(most).ok().and_then(NonZeroUsize::new)
                }
            },
            max_image_bytes: set.max_image_bytes.map_or(16 << 30, |bytes| bytes.get()),
            image_quota_bytes: set.image_quota_bytes.map_or(64 << 30, |bytes| bytes.get()),
            image_write_idle: set
                .image_write_idle
                .map_or(Duration::from_secs(3600), |time| time.get()),
            audit: match set.audit {
                Some(Switch::Off) => None,
                Some(Switch::On) | None => Some(audit::Limits {
                    // A file has room for a write at least.
                    file_bytes: (set.audit_max_bytes.map_or(16 << 20, |bytes| bytes.get()))
                        .max(64 << 10),
                    files: usize::try_from(set.audit_files.map_or(8, |count| count.get()))
                        .unwrap_or(usize::MAX),
                }),
            },
            host_programs: host_programs::by_platform(set.host_program.unwrap_or_default()),
            host_env: host_env::names(set.host_env.unwrap_or_default()),
            sandbox: set.sandbox.map_or(Mode::On, SandboxMode::get),
            host_user,
        };
        Shares::of(&config.limits())?;
        Ok(config)
    }

    /// The bounds of connections.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            // A usize has at least 32 bits wherever KVM runs.
            max_connections: usize::try_from(self.max_connections).unwrap_or(usize::MAX),
            max_streams_per_connection: self.max_streams_per_connection,
            receive_budget_bytes: self.receive_budget_bytes,
            stall_timeout: self.stall_timeout,
            idle_timeout: self.idle_timeout,
            max_handshakes: usize::try_from(self.max_handshakes).unwrap_or(usize::MAX),
            handshake_timeout: self.handshake_timeout,
            tls: self.tls.is_some(),
            devices: self.devices.is_some(),
            ..Limits::default()
        }
    }
}
