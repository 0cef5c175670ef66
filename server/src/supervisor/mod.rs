//! `stagepagesd serve`: the process that stays.
//!
//! It starts the daemon and restarts it when it dies, starts hosts on the daemon's request, waits for all of them and tells how each ended.
//! Hosts are its children and not the daemon's, so that they outlive a daemon, and so that they are not born into the daemon's
//! confinement. It is one thread around one `poll(2)`: signals on one side, the daemon's socket on the other.
//!
//! ```text
//!              first start           died, was ready once            SIGTERM, SIGINT
//!   (start) ───────────────▶ RUNNING ───────────────────▶ RESTARTING ───────────────▶ GONE
//!                            │  ▲ │     back after 0.1 to 5 s │                         ▲
//!                            │  └─┼───────────────────────────┘                         │
//!                            │    └─ died before it was ever ready, or 10 times quickly ┤  (the latter not while a host lives)
//!                            └─ SIGTERM, SIGINT: told to drain, killed after its grace ─┘
//!   RUNNING ── SIGUSR2, after an upgrade in place: told to drain, killed after its grace ──▶ RUNNING, another daemon
//!   GONE: hosts get SIGTERM, 5 s later SIGKILL, at most 5 s later the supervisor ends
//! ```
//!
//! Fit to be PID 1 of a container: it reaps orphans that it never started, and forwards SIGHUP to the daemon. Not a subreaper
//! (`PR_SET_CHILD_SUBREAPER`): nothing it starts starts processes of its own, and strangers' orphans belong to init. No `PR_SET_PDEATHSIG` for
//! its children: a launch must survive an upgrade of the supervisor. Where the supervisor is killed, the daemon sees its socket close and ends; hosts
//! live on, until a daemon of the next supervisor finds them and hands them over (`process.rs`), or until their leases end.
//!
//! SIGUSR2 replaces it by the build that its program path names then (`candidate.rs`, `upgrade.rs`): same process, same children, and a new daemon.
//!
//! Listening sockets that a service manager made (`activation.rs`) stay open here, so that nobody who connects between two daemons is refused.
//!
//! **Invariant:** it opens no network, reads no file of anybody's making, and never waits for a peer. A host's exit status is never lost and
//! never guessed: it is kept until a daemon says that it knows.

mod activation;
mod candidate;
mod connection;
mod event_loop;
mod exit;
#[doc(hidden)]
pub mod fuzzing;
mod handover;
mod hosts;
mod id;
mod lifecycle;
mod process;
mod programs;
pub mod proto;
mod requests;
mod restart;
mod runtime_dir;
mod signals;
mod spawn;
mod upgrade;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

pub use activation::{ActivationError, SocketName, Sockets};
pub use candidate::{UpgradeError, check_upgrade};
pub use exit::{ExitStatus, HostExit};
pub use handover::HandoverError;
pub use id::{BadHostId, HostId};
pub use programs::{HostProgramError, check_host_programs};
pub use proto::HostKind;
pub use runtime_dir::{RuntimeDirError, socket_path};
pub use spawn::own_program;

use event_loop::Supervisor;
use runtime_dir::RuntimeDir;
use signals::Signals;

/// Hosts, and unacknowledged exits, at one time, unless configured.
pub const DEFAULT_MAX_HOSTS: usize = 4096;

/// What a supervisor is told.
#[derive(Clone, Debug)]
pub struct SupervisorConfig {
    /// The binary that is daemon and host, usually [`own_program`].
    pub program: PathBuf,
    /// Programs for the hosts of some platforms, absolute; the others' is `program`. Both are started as `PROGRAM host ARGS…`.
    pub host_programs: BTreeMap<String, PathBuf>,
    /// Variables of the supervisor's environment that hosts get. They get no others.
    pub host_env: BTreeSet<String>,
    /// Arguments of hosts that run `program`, behind those that the daemon asks for: how they are confined, which is not the daemon's to say.
    pub host_args: Vec<String>,
    /// The user that hosts become, where it is not the supervisor's own.
    pub host_uid: Option<u32>,
    /// Arguments behind `daemon`.
    pub daemon_args: Vec<OsString>,
    /// Arguments behind `serve`, with which an upgrade goes on.
    pub serve_args: Vec<OsString>,
    /// The directory for private sockets. Made if missing; MUST be ours, writable by nobody else, and used by no other supervisor.
    pub runtime_dir: PathBuf,
    /// How long the daemon takes to drain at most. It gets 5 s more before it is killed.
    pub grace: Duration,
    /// Hosts, and unacknowledged exits, at one time.
    pub max_hosts: usize,
    /// Listening sockets that a service manager made, for each daemon. Of an upgrade, those that it took over.
    pub sockets: Sockets,
}

/// Why a supervisor did not start, or ended otherwise than it was told to.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// The runtime directory cannot be used.
    #[error(transparent)]
    RuntimeDir(#[from] RuntimeDirError),
    /// A program for hosts cannot be started.
    #[error(transparent)]
    HostProgram(#[from] HostProgramError),
    /// What an earlier build handed over cannot be gone on with.
    #[error(transparent)]
    Handover(#[from] HandoverError),
    /// Signals cannot be read.
    #[error("cannot take over signals")]
    Signals(#[source] io::Error),
    /// The first daemon cannot be started.
    #[error("cannot start the daemon from {}", program.display())]
    StartDaemon {
        /// From what.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another start would not help.
    #[error(
        "the daemon died {deaths} times in a row, each time within a minute, at last it {last}: see its log above"
    )]
    GaveUp {
        /// How often.
        deaths: u32,
        /// How it ended at last.
        last: ExitStatus,
    },
    /// The daemon did not drain in time, or not cleanly.
    #[error("the daemon was told to end and {status}")]
    Unclean {
        /// How it ended.
        status: ExitStatus,
    },
    /// The kernel refused what a supervisor lives by.
    #[error("cannot wait for events")]
    Wait(#[source] io::Error),
}

/// Supervises until SIGTERM or SIGINT. MUST be called while the process has one thread; the signals stay blocked when it returns.
///
/// Returns success when the daemon ended cleanly as told, and the daemon's own exit code where its first start came to nothing (a bad
/// configuration, most often): that is its verdict and not repeated. In both cases no host is left.
///
/// # Errors
/// See [`SupervisorError`]. But for the failures to start and `Wait`, no host is left either.
pub fn run(config: SupervisorConfig) -> Result<ExitCode, SupervisorError> {
    check_host_programs(&config.host_programs)?;
    keep_own_descriptors();
    let dir = RuntimeDir::claim(&config.runtime_dir)?;
    raise_file_limit(config.max_hosts);
    let signals = Signals::take().map_err(SupervisorError::Signals)?;
    Supervisor::new(config, dir, signals).run()
}

/// As [`run`], in the place of an earlier build, whose state waits on standard input. [`check_upgrade`] has found nothing wrong before.
///
/// # Errors
/// As [`run`]. [`SupervisorError::Handover`] leaves all hosts to their leases, or to the next supervisor.
pub fn take_over(config: SupervisorConfig) -> Result<ExitCode, SupervisorError> {
    keep_own_descriptors();
    let signals = Signals::take().map_err(SupervisorError::Signals)?;
    let handed = handover::receive()?;
    Supervisor::resume(config, handed, signals)?.supervise()
}

/// What whoever started this left open is nothing for daemons and hosts.
fn keep_own_descriptors() {
    if let Err(error) = stagepages_kvm::keep_descriptors_from_children() {
        tracing::warn!(%error, "daemons and hosts get the descriptors that this was started with");
    }
}

/// An adopted host takes a descriptor, and the usual soft limit is 1024.
fn raise_file_limit(max_hosts: usize) {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| hard));
    match raised {
        Ok(most) if usize::try_from(most).is_ok_and(|most| most < max_hosts) => {
            tracing::warn!(
                most,
                max_hosts,
                "too few open files to adopt all hosts; raise LimitNOFILE"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
}
