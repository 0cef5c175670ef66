//! Every key, once: the flags of `serve`, the keys of the file and the `STAGEPAGES_…` variables are made from this struct.
//!
//! **Invariant:** unset and set to the default are the same to everyone who reads the result.

use std::ffi::OsString;

use serde::Deserialize;

use super::{
    ConfigError, DeviceCount,
    host_env::VariableName,
    host_programs::{self, HostProgram},
    sandbox::{SandboxMode, UserName},
    status_listen::{self, StatusPlace},
    traces::{OtlpEndpoint, TraceRatio},
    values::{
        AbsolutePath, Count, DiskBytes, Grace, LogFilter, MemoryBytes, SocketGroup, SocketMode,
        Switch, TcpAddress, Timeout,
    },
    variable::{list, one},
};
use crate::{
    logging::LogFormat,
    net::{IdentityKind, Listen},
};

/// What one source sets. Each key is also the name of its flag (with dashes) and of its variable (upper case, `STAGEPAGES_`). Only the programs of hosts
/// are a table in the file, `[host.kvm]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Address to serve on, unix:PATH, or tcp:HOST:PORT with TLS; repeat for several [default: unix:RUNTIME_DIR/api.sock]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<Vec<Listen>>,
    /// Address of the status page, unix:PATH, or tcp:HOST:PORT with TLS, or off; repeat for several [default: unix:RUNTIME_DIR/status.sock]
    #[arg(long, value_name = "ADDRESS|off")]
    pub status_listen: Option<Vec<StatusPlace>>,
    /// Address to serve metrics on, unix:PATH or tcp:IP:PORT, by plain HTTP to whoever reaches it; repeat for several [default: none]
    #[arg(long, value_name = "ADDRESS")]
    pub metrics_listen: Option<Vec<Listen>>,
    /// Certificate of the server for tcp: addresses, PEM, read again when it changes
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<AbsolutePath>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<AbsolutePath>,
    /// CAs whose clients are let in over TCP, PEM
    #[arg(long, value_name = "FILE")]
    pub tls_client_ca: Option<AbsolutePath>,
    /// What of a client's certificate is its identity: the only name of this kind, spiffe, dns or email [default: spiffe]
    #[arg(long, value_name = "KIND")]
    pub tls_identity: Option<IdentityKind>,
    /// How long a new connection may take until it speaks HTTP/2 [default: 10s]
    #[arg(long, value_name = "TIME")]
    pub handshake_timeout: Option<Timeout>,
    /// Connections at one time that do not speak HTTP/2 yet [default: 256]
    #[arg(long, value_name = "N")]
    pub max_handshakes: Option<Count<16, 4096>>,
    /// Where state outlives the daemon [default: $XDG_STATE_HOME/stagepages, /var/lib/stagepages for root]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<AbsolutePath>,
    /// Where sockets live [default: $XDG_RUNTIME_DIR/stagepages, /run/stagepages for root]
    #[arg(long, value_name = "DIR")]
    pub runtime_dir: Option<AbsolutePath>,
    /// Mode of the Unix sockets, in octal digits; who may connect may not do anything yet [default: 0600]
    #[arg(long, value_name = "MODE")]
    pub socket_mode: Option<SocketMode>,
    /// Group of the Unix sockets, by name or number [default: that of the daemon]
    #[arg(long, value_name = "GROUP")]
    pub socket_group: Option<SocketGroup>,
    /// File that says who may do what; without it who runs the daemon, and root, may do everything, over a Unix socket
    #[arg(long, value_name = "FILE")]
    pub policy: Option<AbsolutePath>,
    /// TCP address for health probes alone, tcp:IP:PORT, without TLS: whoever can reach it learns whether the daemon serves [default: none]
    #[arg(long, value_name = "ADDRESS")]
    pub health_listen: Option<TcpAddress>,
    /// Where each device has a directory with a socket of its own, whose peers are that device [default: no devices]
    #[arg(long, value_name = "DIR")]
    pub device_dir: Option<AbsolutePath>,
    /// How many devices of a platform, PLATFORM=N; repeat for several [default: as many as the hardware can hold on sev-snp and tdx, none on kvm and sim]
    #[arg(long, value_name = "NUMBER")]
    pub devices: Option<Vec<DeviceCount>>,
    /// What is logged: a level, or TARGET=LEVEL,… [default: info]
    #[arg(long, value_name = "FILTER")]
    pub log: Option<LogFilter>,
    /// How it is logged [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Collector of OpenTelemetry spans, http://HOST:PORT, OTLP over gRPC [default: none, and no call is traced]
    #[arg(long, value_name = "URL")]
    pub otlp_endpoint: Option<OtlpEndpoint>,
    /// Share of the calls that come without a traceparent which are traced, 0 to 1 [default: 0]
    #[arg(long, value_name = "SHARE")]
    pub trace_ratio: Option<TraceRatio>,
    /// How long calls in progress may take to finish at shutdown [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub grace: Option<Grace>,
    /// Launches at one time, ended ones included until deleted [default: 1000]
    #[arg(long, value_name = "N")]
    pub max_launches: Option<Count<1, 100_000>>,
    /// Memory regions of one launch [default: 64]
    #[arg(long, value_name = "N")]
    pub max_regions: Option<Count<1, 1024>>,
    /// Memory of one launch in bytes [default: twice the machine's]
    #[arg(long, value_name = "BYTES")]
    pub max_memory_bytes: Option<MemoryBytes>,
    /// Connections at one time [default: 1024]
    #[arg(long, value_name = "N")]
    pub max_connections: Option<Count<1, 100_000>>,
    /// Calls at one time on one connection [default: 128]
    #[arg(long, value_name = "N")]
    pub max_streams_per_connection: Option<Count<1, 10_000>>,
    /// What all peers together may have under way to the daemon in bytes [default: 268435456]
    #[arg(long, value_name = "BYTES")]
    pub receive_budget_bytes: Option<MemoryBytes>,
    /// How long a call waits for a peer that stopped in the middle of a message [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub stall_timeout: Option<Timeout>,
    /// How long a connection may be without a call before it is closed [default: 10m]
    #[arg(long, value_name = "TIME")]
    pub idle_timeout: Option<Timeout>,
    /// StagePages calls of one launch that may wait or run at one time [default: 32]
    #[arg(long, value_name = "N")]
    pub max_pending_calls: Option<Count<1, 4096>>,
    /// Pages that are installed without looking up, which bounds how long an abort waits [default: 64]
    #[arg(long, value_name = "N")]
    pub chunk_pages: Option<Count<1, 4096>>,
    /// What the ledgers of ended launches may take in the state directory, in bytes; the oldest are dropped [default: 1073741824]
    #[arg(long, value_name = "BYTES")]
    pub ended_ledgers_max_bytes: Option<DiskBytes>,
    /// Whether the daemon decides whose pages go when, on platforms with one firmware for the machine (sev-snp, sim) [default: on]
    #[arg(long, value_name = "on|off")]
    pub scheduler: Option<Switch>,
    /// Launches that may wait for one firmware at one time [default: 64]
    #[arg(long, value_name = "N")]
    pub max_queued_launches: Option<Count<1, 100_000>>,
    /// Largest stored image in bytes [default: 17179869184]
    #[arg(long, value_name = "BYTES")]
    pub max_image_bytes: Option<DiskBytes>,
    /// What stored images and unfinished writes may take in the state directory, in bytes; the least recently used are dropped [default: 68719476736]
    #[arg(long, value_name = "BYTES")]
    pub image_quota_bytes: Option<DiskBytes>,
    /// How long an unfinished write of an image is kept that nobody goes on with [default: 1h]
    #[arg(long, value_name = "TIME")]
    pub image_write_idle: Option<Timeout>,
    /// Whether what happens to launches and images is put into an audit log, and refused calls with it [default: on]
    #[arg(long, value_name = "on|off")]
    pub audit: Option<Switch>,
    /// Where the audit log is [default: audit in STATE_DIR]
    #[arg(long, value_name = "DIR")]
    pub audit_dir: Option<AbsolutePath>,
    /// Bytes of one file of the audit log; a full one is set aside [default: 16777216]
    #[arg(long, value_name = "BYTES")]
    pub audit_max_bytes: Option<DiskBytes>,
    /// Files of the audit log that are kept [default: 8]
    #[arg(long, value_name = "N")]
    pub audit_files: Option<Count<2, 1000>>,
    /// Program that the hosts of a platform run, PLATFORM=/PATH; repeat for several [default: the built-in host for all]
    #[arg(long, value_name = "PROGRAM")]
    #[serde(rename = "host", deserialize_with = "host_programs::from_table")]
    pub host_program: Option<Vec<HostProgram>>,
    /// Environment variables that hosts get from this process, NAME,…; they get no others [default: none]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub host_env: Option<Vec<VariableName>>,
    /// Whether daemon and launch hosts are confined: as far as the kernel can, not at all, or wholly or not started [default: on]
    #[arg(long, value_name = "on|off|require")]
    pub sandbox: Option<SandboxMode>,
    /// User that launch hosts become, where this is started by root: a name, UID or UID:GID [default: they stay root without capabilities]
    #[arg(long, value_name = "USER")]
    pub host_user: Option<UserName>,
}

impl Settings {
    /// What `self` sets, and for the rest what `weaker` sets.
    #[must_use]
    pub fn or(self, weaker: Self) -> Self {
        Self {
            listen: self.listen.or(weaker.listen),
            status_listen: self.status_listen.or(weaker.status_listen),
            metrics_listen: self.metrics_listen.or(weaker.metrics_listen),
            tls_cert: self.tls_cert.or(weaker.tls_cert),
            tls_key: self.tls_key.or(weaker.tls_key),
            tls_client_ca: self.tls_client_ca.or(weaker.tls_client_ca),
            tls_identity: self.tls_identity.or(weaker.tls_identity),
            handshake_timeout: self.handshake_timeout.or(weaker.handshake_timeout),
            max_handshakes: self.max_handshakes.or(weaker.max_handshakes),
            state_dir: self.state_dir.or(weaker.state_dir),
            runtime_dir: self.runtime_dir.or(weaker.runtime_dir),
            socket_mode: self.socket_mode.or(weaker.socket_mode),
            socket_group: self.socket_group.or(weaker.socket_group),
            policy: self.policy.or(weaker.policy),
            health_listen: self.health_listen.or(weaker.health_listen),
            device_dir: self.device_dir.or(weaker.device_dir),
            devices: self.devices.or(weaker.devices),
            log: self.log.or(weaker.log),
            log_format: self.log_format.or(weaker.log_format),
            otlp_endpoint: self.otlp_endpoint.or(weaker.otlp_endpoint),
            trace_ratio: self.trace_ratio.or(weaker.trace_ratio),
            grace: self.grace.or(weaker.grace),
            max_launches: self.max_launches.or(weaker.max_launches),
            max_regions: self.max_regions.or(weaker.max_regions),
            max_memory_bytes: self.max_memory_bytes.or(weaker.max_memory_bytes),
            max_connections: self.max_connections.or(weaker.max_connections),
            max_streams_per_connection: self
                .max_streams_per_connection
                .or(weaker.max_streams_per_connection),
            receive_budget_bytes: self.receive_budget_bytes.or(weaker.receive_budget_bytes),
            stall_timeout: self.stall_timeout.or(weaker.stall_timeout),
            idle_timeout: self.idle_timeout.or(weaker.idle_timeout),
            max_pending_calls: self.max_pending_calls.or(weaker.max_pending_calls),
            chunk_pages: self.chunk_pages.or(weaker.chunk_pages),
            ended_ledgers_max_bytes: self
                .ended_ledgers_max_bytes
                .or(weaker.ended_ledgers_max_bytes),
            scheduler: self.scheduler.or(weaker.scheduler),
            max_queued_launches: self.max_queued_launches.or(weaker.max_queued_launches),
            max_image_bytes: self.max_image_bytes.or(weaker.max_image_bytes),
            image_quota_bytes: self.image_quota_bytes.or(weaker.image_quota_bytes),
            image_write_idle: self.image_write_idle.or(weaker.image_write_idle),
            audit: self.audit.or(weaker.audit),
            audit_dir: self.audit_dir.or(weaker.audit_dir),
            audit_max_bytes: self.audit_max_bytes.or(weaker.audit_max_bytes),
            audit_files: self.audit_files.or(weaker.audit_files),
            host_program: self.host_program.or(weaker.host_program),
            host_env: self.host_env.or(weaker.host_env),
            sandbox: self.sandbox.or(weaker.sandbox),
            host_user: self.host_user.or(weaker.host_user),
        }
    }

    /// What the environment sets. An empty variable sets nothing.
    ///
    /// # Errors
    /// The first variable whose value is wrong.
    pub fn from_env(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, ConfigError> {
        let variable = &variable;
        Ok(Self {
            listen: list(variable, "STAGEPAGES_LISTEN")?,
            status_listen: list(variable, "STAGEPAGES_STATUS_LISTEN")?,
            metrics_listen: list(variable, "STAGEPAGES_METRICS_LISTEN")?,
            tls_cert: one(variable, "STAGEPAGES_TLS_CERT")?,
            tls_key: one(variable, "STAGEPAGES_TLS_KEY")?,
            tls_client_ca: one(variable, "STAGEPAGES_TLS_CLIENT_CA")?,
            tls_identity: one(variable, "STAGEPAGES_TLS_IDENTITY")?,
            handshake_timeout: one(variable, "STAGEPAGES_HANDSHAKE_TIMEOUT")?,
            max_handshakes: one(variable, "STAGEPAGES_MAX_HANDSHAKES")?,
            state_dir: one(variable, "STAGEPAGES_STATE_DIR")?,
            runtime_dir: one(variable, "STAGEPAGES_RUNTIME_DIR")?,
            socket_mode: one(variable, "STAGEPAGES_SOCKET_MODE")?,
            socket_group: one(variable, "STAGEPAGES_SOCKET_GROUP")?,
            policy: one(variable, "STAGEPAGES_POLICY")?,
            health_listen: one(variable, "STAGEPAGES_HEALTH_LISTEN")?,
            device_dir: one(variable, "STAGEPAGES_DEVICE_DIR")?,
            devices: list(variable, "STAGEPAGES_DEVICES")?,
            log: one(variable, "STAGEPAGES_LOG")?,
            log_format: one(variable, "STAGEPAGES_LOG_FORMAT")?,
            otlp_endpoint: one(variable, "STAGEPAGES_OTLP_ENDPOINT")?,
            trace_ratio: one(variable, "STAGEPAGES_TRACE_RATIO")?,
            grace: one(variable, "STAGEPAGES_GRACE")?,
            max_launches: one(variable, "STAGEPAGES_MAX_LAUNCHES")?,
            max_regions: one(variable, "STAGEPAGES_MAX_REGIONS")?,
            max_memory_bytes: one(variable, "STAGEPAGES_MAX_MEMORY_BYTES")?,
            max_connections: one(variable, "STAGEPAGES_MAX_CONNECTIONS")?,
            max_streams_per_connection: one(variable, "STAGEPAGES_MAX_STREAMS_PER_CONNECTION")?,
            receive_budget_bytes: one(variable, "STAGEPAGES_RECEIVE_BUDGET_BYTES")?,
            stall_timeout: one(variable, "STAGEPAGES_STALL_TIMEOUT")?,
            idle_timeout: one(variable, "STAGEPAGES_IDLE_TIMEOUT")?,
            max_pending_calls: one(variable, "STAGEPAGES_MAX_PENDING_CALLS")?,
            chunk_pages: one(variable, "STAGEPAGES_CHUNK_PAGES")?,
            ended_ledgers_max_bytes: one(variable, "STAGEPAGES_ENDED_LEDGERS_MAX_BYTES")?,
            scheduler: one(variable, "STAGEPAGES_SCHEDULER")?,
            max_queued_launches: one(variable, "STAGEPAGES_MAX_QUEUED_LAUNCHES")?,
            max_image_bytes: one(variable, "STAGEPAGES_MAX_IMAGE_BYTES")?,
            image_quota_bytes: one(variable, "STAGEPAGES_IMAGE_QUOTA_BYTES")?,
            image_write_idle: one(variable, "STAGEPAGES_IMAGE_WRITE_IDLE")?,
            audit: one(variable, "STAGEPAGES_AUDIT")?,
            audit_dir: one(variable, "STAGEPAGES_AUDIT_DIR")?,
            audit_max_bytes: one(variable, "STAGEPAGES_AUDIT_MAX_BYTES")?,
            audit_files: one(variable, "STAGEPAGES_AUDIT_FILES")?,
            host_program: list(variable, "STAGEPAGES_HOST_PROGRAM")?,
            host_env: list(variable, "STAGEPAGES_HOST_ENV")?,
            sandbox: one(variable, "STAGEPAGES_SANDBOX")?,
            host_user: one(variable, "STAGEPAGES_HOST_USER")?,
        })
    }

    /// The flags that say the same, for a process that is started in turn.
    #[must_use]
    pub fn to_args(&self) -> Vec<OsString> {
        // Taken apart, so that a new key cannot be forgotten.
        let Self {
            listen,
            status_listen,
            metrics_listen,
            tls_cert,
            tls_key,
            tls_client_ca,
            tls_identity,
            handshake_timeout,
            max_handshakes,
            state_dir,
            runtime_dir,
            socket_mode,
            socket_group,
            policy,
            health_listen,
            device_dir,
            devices,
            log,
            log_format,
            otlp_endpoint,
            trace_ratio,
            grace,
            max_launches,
            max_regions,
            max_memory_bytes,
            max_connections,
            max_streams_per_connection: max_streams,
            receive_budget_bytes,
            stall_timeout,
            idle_timeout,
            max_pending_calls,
            chunk_pages,
            ended_ledgers_max_bytes: max_ledgers,
            scheduler,
            max_queued_launches: max_queued,
            max_image_bytes,
            image_quota_bytes,
            image_write_idle,
            audit,
            audit_dir,
            audit_max_bytes,
            audit_files,
            host_program,
            host_env,
            sandbox,
            host_user,
        } = self;
        let mut args: Vec<OsString> = Vec::new();
        // One argument each, so that no value can be taken for a flag.
        for address in listen.iter().flatten() {
            args.push(format!("--listen={address}").into());
        }
        for place in status_listen::words(status_listen.as_ref()) {
            args.push(format!("--status-listen={place}").into());
        }
        for count in devices.iter().flatten() {
            args.push(format!("--devices={count}").into());
        }
        for address in metrics_listen.iter().flatten() {
            args.push(format!("--metrics-listen={address}").into());
        }
        for program in host_program.iter().flatten() {
            args.push(format!("--host-program={program}").into());
        }
        for name in host_env.iter().flatten() {
            args.push(format!("--host-env={name}").into());
        }
        let others = [
            ("tls-cert", text(tls_cert.as_ref())),
            ("tls-key", text(tls_key.as_ref())),
            ("tls-client-ca", text(tls_client_ca.as_ref())),
            ("tls-identity", text(tls_identity.as_ref())),
            ("handshake-timeout", text(handshake_timeout.as_ref())),
            ("max-handshakes", text(max_handshakes.as_ref())),
            ("state-dir", text(state_dir.as_ref())),
            ("runtime-dir", text(runtime_dir.as_ref())),
            ("socket-mode", text(socket_mode.as_ref())),
            ("socket-group", text(socket_group.as_ref())),
            ("policy", text(policy.as_ref())),
            ("health-listen", text(health_listen.as_ref())),
            ("device-dir", text(device_dir.as_ref())),
            ("log", text(log.as_ref())),
            ("log-format", text(log_format.as_ref())),
            ("otlp-endpoint", text(otlp_endpoint.as_ref())),
            ("trace-ratio", text(trace_ratio.as_ref())),
            ("grace", text(grace.as_ref())),
            ("max-launches", text(max_launches.as_ref())),
            ("max-regions", text(max_regions.as_ref())),
            ("max-memory-bytes", text(max_memory_bytes.as_ref())),
            ("max-connections", text(max_connections.as_ref())),
            ("max-streams-per-connection", text(max_streams.as_ref())),
            ("receive-budget-bytes", text(receive_budget_bytes.as_ref())),
            ("stall-timeout", text(stall_timeout.as_ref())),
            ("idle-timeout", text(idle_timeout.as_ref())),
            ("max-pending-calls", text(max_pending_calls.as_ref())),
            ("chunk-pages", text(chunk_pages.as_ref())),
            ("ended-ledgers-max-bytes", text(max_ledgers.as_ref())),
            ("scheduler", text(scheduler.as_ref())),
            ("max-queued-launches", text(max_queued.as_ref())),
            ("max-image-bytes", text(max_image_bytes.as_ref())),
            ("image-quota-bytes", text(image_quota_bytes.as_ref())),
            ("image-write-idle", text(image_write_idle.as_ref())),
            ("audit", text(audit.as_ref())),
            ("audit-dir", text(audit_dir.as_ref())),
            ("audit-max-bytes", text(audit_max_bytes.as_ref())),
            ("audit-files", text(audit_files.as_ref())),
            ("sandbox", text(sandbox.as_ref())),
            ("host-user", text(host_user.as_ref())),
        ];
        for (flag, value) in others {
            args.extend(value.map(|value| OsString::from(format!("--{flag}={value}"))));
        }
        args
    }
}

fn text(value: Option<&impl ToString>) -> Option<String> {
    value.map(ToString::to_string)
}
