//! The loop: what comes in, and who deals with it.
//!
//! **Invariant:** each turn does a bounded amount of work and waits only in `poll`, only as long as nothing is due.

use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::candidate::Candidate;
use super::connection::{Asked, Connection, Fault};
use super::exit::ExitStatus;
use super::hosts::{HostTable, to_wire};
use super::lifecycle::signal_child;
use super::proto::{AdoptHost, RequestBody, SpawnFailed, SpawnHost};
use super::requests::{self, Refusal};
use super::restart::RestartPolicy;
use super::runtime_dir::RuntimeDir;
use super::signals::Signals;
use super::spawn::Launcher;
use super::{SupervisorConfig, SupervisorError};

/// Beyond its grace, before a draining daemon is killed.
pub(super) const GRACE_MARGIN: Duration = Duration::from_secs(5);
/// For a daemon that closed its socket, to end.
const CLOSED_GRACE: Duration = Duration::from_secs(5);
/// Requests served before signals and deadlines are looked at again.
const REQUESTS_PER_TURN: usize = 64;

/// The supervisor's whole state.
#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) config: SupervisorConfig,
    pub(super) launcher: Launcher,
    pub(super) dir: RuntimeDir,
    pub(super) signals: Signals,
    pub(super) hosts: HostTable,
    pub(super) restarts: RestartPolicy,
    /// How many daemons were started.
    pub(super) epoch: u64,
    /// Whether one of them ever served.
    pub(super) ever_ready: bool,
    /// Whether we were told to end.
    pub(super) stopping: bool,
    pub(super) daemon: DaemonState,
    /// The build that is asked whether it can take this process over.
    pub(super) candidate: Option<Candidate>,
    /// Whether it can, and does at the end of this turn.
    pub(super) exec_due: bool,
}

/// As in the module's picture.
#[derive(Debug)]
pub(super) enum DaemonState {
    Running(Daemon),
    Restarting {
        at: Instant,
    },
    Gone {
        outcome: Outcome,
        /// When patience with the hosts ends.
        until: Instant,
        /// Whether they had their SIGKILL.
        killed: bool,
    },
}

#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) pid: Pid,
    pub(super) born: Instant,
    /// None once it closed its end or broke the protocol.
    pub(super) connection: Option<Connection>,
    pub(super) kill_at: Option<Instant>,
    /// Whether it makes room for its successor, after an upgrade.
    pub(super) retiring: bool,
}

/// What [`Supervisor::run`] returns in the end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    Stopped,
    NeverReady(ExitStatus),
    Unclean(ExitStatus),
    GaveUp(ExitStatus),
}

impl Supervisor {
    pub(super) fn new(config: SupervisorConfig, dir: RuntimeDir, signals: Signals) -> Self {
        Self {
            launcher: Launcher::new(
                config.program.clone(),
                config.host_programs.clone(),
                &config.host_env,
                config.host_args.clone(),
            ),
            hosts: HostTable::new(config.max_hosts),
            config,
            dir,
            signals,
            restarts: RestartPolicy::default(),
            epoch: 0,
            ever_ready: false,
            stopping: false,
            daemon: DaemonState::Restarting { at: Instant::now() },
            candidate: None,
            exec_due: false,
        }
    }

    /// Starts the first daemon, and supervises.
    pub(super) fn run(mut self) -> Result<ExitCode, SupervisorError> {
        self.daemon = self
            .start_daemon()
            .map_err(|source| SupervisorError::StartDaemon {
                program: self.config.program.clone(),
                source,
            })?;
        self.supervise()
    }

    /// Supervises until the end. What happened before is seen in the first turn: its signals are pending, and a daemon that is due is started.
    pub(super) fn supervise(mut self) -> Result<ExitCode, SupervisorError> {
        loop {
            self.wait().map_err(SupervisorError::Wait)?;
            // The socket before the deaths: what a daemon said before it died counts.
            self.serve_daemon();
            while let Some(signal) = self.signals.next().map_err(SupervisorError::Wait)? {
                self.on_signal(signal);
            }
            self.reap();
            if let Some(outcome) = self.on_time(Instant::now()) {
                return self.finish(outcome);
            }
            if self.exec_due {
                self.exec();
            }
        }
    }

    /// Sleeps until something came or is due.
    fn wait(&self) -> io::Result<()> {
        let due = match &self.daemon {
            DaemonState::Running(daemon) => daemon.kill_at,
            DaemonState::Restarting { at } => Some(*at),
            DaemonState::Gone { until, .. } => Some(*until),
        };
        let answer_due = self.candidate.as_ref().and_then(|asked| asked.kill_at);
        let due = due.into_iter().chain(answer_due).min();
        let timeout = due.map_or(PollTimeout::NONE, |due| {
            // Rounded up: a poll that returns early would only come back.
            let left = due.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if let DaemonState::Running(daemon) = &self.daemon
            && let Some(connection) = &daemon.connection
        {
            let mut events = PollFlags::POLLIN;
            events.set(PollFlags::POLLOUT, connection.has_outgoing());
            fds.push(PollFd::new(connection.as_fd(), events));
        }
        let adopted = self.hosts.adopted();
        fds.extend(adopted.map(|(_, held)| PollFd::new(held.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn serve_daemon(&mut self) {
        let Err(fault) = self.exchange() else {
            return;
        };
        let DaemonState::Running(daemon) = &mut self.daemon else {
            return;
        };
        daemon.connection = None;
        if matches!(fault, Fault::Closed) {
            // Most likely it is on its way out, and its exit status is worth more than a kill.
            let kill_at = Instant::now() + CLOSED_GRACE;
            daemon.kill_at.get_or_insert(kill_at);
        } else {
            let error: &dyn std::error::Error = &fault;
            tracing::error!(pid = daemon.pid.as_raw(), error, "daemon killed");
            signal_child(daemon.pid, Signal::SIGKILL);
        }
    }

    fn exchange(&mut self) -> Result<(), Fault> {
        let DaemonState::Running(Daemon {
            connection: Some(connection),
            ..
        }) = &mut self.daemon
        else {
            return Ok(());
        };
        connection.flush()?;
        for _ in 0..REQUESTS_PER_TURN {
            let Some(Asked { body, pidfd }) = connection.next_request()? else {
                break;
            };
            match body {
                RequestBody::Hello(_) => {
                    let (hosts, exits) = self.hosts.snapshot();
                    let host_dir = self.dir.host_dir().as_os_str().as_encoded_bytes();
                    connection.welcome(self.epoch, host_dir, &hosts, &exits)?;
                }
                RequestBody::Ready(_) => {
                    tracing::info!(epoch = self.epoch, "daemon ready");
                    self.ever_ready = true;
                }
                RequestBody::SpawnHost(request) => {
                    let spawned = if self.stopping {
                        Err(ending())
                    } else {
                        let Self {
                            hosts,
                            dir,
                            launcher,
                            ..
                        } = self;
                        requests::spawn_host(&request, hosts, dir, launcher)
                    };
                    answer(connection, request, spawned)?;
                }
                RequestBody::AdoptHost(request) => {
                    let adopted = match pidfd {
                        _ if self.stopping => Err(ending()),
                        Some(pidfd) => {
                            let user = self.config.host_uid;
                            requests::adopt_host(&request, pidfd, user, &mut self.hosts)
                        }
                        None => Err(Refusal::new(Errno::EBADF, "no pidfd")),
                    };
                    answer_adoption(connection, request, adopted)?;
                }
                RequestBody::KillHost(request) => {
                    requests::kill_host(&request, &self.hosts).ok_or(Fault::BadSignal {
                        signal: request.signal,
                    })?;
                }
                RequestBody::AckExit(ack) => self.hosts.acknowledge_named(&ack),
            }
        }
        Ok(())
    }

    fn on_signal(&mut self, signal: Signal) {
        if matches!(signal, Signal::SIGTERM | Signal::SIGINT) && !self.stopping {
            tracing::info!(%signal, hosts = self.hosts.living(), "told to end");
            self.stopping = true;
            if let Some(candidate) = &self.candidate {
                signal_child(candidate.pid, Signal::SIGKILL);
            }
            match &mut self.daemon {
                DaemonState::Running(daemon) => {
                    signal_child(daemon.pid, Signal::SIGTERM);
                    // A grace beyond what the clock can count never ends.
                    let patience = self.config.grace.saturating_add(GRACE_MARGIN);
                    daemon.kill_at = Instant::now().checked_add(patience);
                }
                DaemonState::Restarting { .. } => self.end_hosts(Outcome::Stopped),
                DaemonState::Gone { .. } => {}
            }
        } else if signal == Signal::SIGHUP
            && let DaemonState::Running(daemon) = &self.daemon
        {
            signal_child(daemon.pid, signal);
        }
        if signal == Signal::SIGUSR2 {
            self.begin_upgrade();
        }
        // SIGCHLD only woke us: several deaths can share one, so every turn reaps.
    }
}

fn ending() -> Refusal {
    Refusal::new(Errno::ESHUTDOWN, "the supervisor is ending")
}

fn answer(
    connection: &mut Connection,
    request: SpawnHost,
    spawned: Result<Pid, Refusal>,
) -> Result<(), Fault> {
    let id = request.id;
    match spawned {
        Ok(pid) => {
            tracing::info!(host = id, pid = pid.as_raw(), "host started");
            connection.spawned(id, to_wire(pid))
        }
        Err(refusal) => refuse(connection, id, refusal, "host not started"),
    }
}

fn answer_adoption(
    connection: &mut Connection,
    request: AdoptHost,
    adopted: Result<Pid, Refusal>,
) -> Result<(), Fault> {
    let id = request.id;
    match adopted {
        Ok(pid) => {
            tracing::info!(host = id, pid = pid.as_raw(), "host adopted");
            connection.adopted(id, to_wire(pid))
        }
        Err(refusal) => refuse(connection, id, refusal, "host not adopted"),
    }
}

fn refuse(
    connection: &mut Connection,
    id: String,
    refusal: Refusal,
    what: &str,
) -> Result<(), Fault> {
    let Refusal { errno, message } = refusal;
    tracing::warn!(host = id, %errno, message, "{what}");
    connection.spawn_failed(SpawnFailed {
        id,
        errno: errno as i32,
        message,
    })
}
