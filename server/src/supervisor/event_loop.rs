//! The loop: what comes in, and what has become due.
//!
//! **Invariant:** each turn does a bounded amount of work and waits only in `poll`, only as long as nothing is due.

use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::process::{WaitOptions, wait};
use stagepages_host::wire::SeqSocket;

use super::connection::{Connection, Fault};
use super::exit::ExitStatus;
use super::hosts::{HostTable, to_wire};
use super::proto::{HostExited, RequestBody, SpawnFailed};
use super::requests::{self, Refusal};
use super::restart::{MAX_QUICK_DEATHS, RestartPolicy, Verdict};
use super::runtime_dir::RuntimeDir;
use super::signals::Signals;
use super::spawn::Launcher;
use super::{SupervisorConfig, SupervisorError};

/// Beyond its grace, before a draining daemon is killed.
const GRACE_MARGIN: Duration = Duration::from_secs(5);
/// For a daemon that closed its socket, to end.
const CLOSED_GRACE: Duration = Duration::from_secs(5);
/// For hosts behind SIGTERM, and again behind SIGKILL.
const HOSTS_GRACE: Duration = Duration::from_secs(5);
/// Requests served before signals and deadlines are looked at again.
const REQUESTS_PER_TURN: usize = 64;

/// The supervisor's whole state.
#[derive(Debug)]
pub(super) struct Supervisor {
    config: SupervisorConfig,
    launcher: Launcher,
    dir: RuntimeDir,
    signals: Signals,
    hosts: HostTable,
    restarts: RestartPolicy,
    /// How many daemons were started.
    epoch: u64,
    /// Whether one of them ever served.
    ever_ready: bool,
    /// Whether we were told to end.
    stopping: bool,
    daemon: DaemonState,
}

/// As in the module's picture.
#[derive(Debug)]
enum DaemonState {
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
struct Daemon {
    pid: Pid,
    born: Instant,
    /// None once it closed its end or broke the protocol.
    connection: Option<Connection>,
    kill_at: Option<Instant>,
}

/// What [`Supervisor::run`] returns in the end.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    Stopped,
    NeverReady(ExitStatus),
    Unclean(ExitStatus),
    GaveUp(ExitStatus),
}

impl Supervisor {
    pub(super) fn new(config: SupervisorConfig, dir: RuntimeDir, signals: Signals) -> Self {
        Self {
            launcher: Launcher::new(config.program.clone()),
            hosts: HostTable::new(config.max_hosts),
            config,
            dir,
            signals,
            restarts: RestartPolicy::default(),
            epoch: 0,
            ever_ready: false,
            stopping: false,
            daemon: DaemonState::Restarting { at: Instant::now() },
        }
    }

    pub(super) fn run(mut self) -> Result<ExitCode, SupervisorError> {
        self.daemon = self
            .start_daemon()
            .map_err(|source| SupervisorError::StartDaemon {
                program: self.config.program.clone(),
                source,
            })?;
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
        }
    }

    fn start_daemon(&mut self) -> std::io::Result<DaemonState> {
        let (ours, theirs) = SeqSocket::pair()?;
        let pid = self
            .launcher
            .spawn("daemon", &self.config.daemon_args, theirs.as_fd())?;
        self.epoch += 1;
        tracing::info!(pid = pid.as_raw(), epoch = self.epoch, "daemon started");
        Ok(DaemonState::Running(Daemon {
            pid,
            born: Instant::now(),
            connection: Some(Connection::new(ours)),
            kill_at: None,
        }))
    }

    /// Sleeps until something came or is due.
    fn wait(&self) -> std::io::Result<()> {
        let due = match &self.daemon {
            DaemonState::Running(daemon) => daemon.kill_at,
            DaemonState::Restarting { at } => Some(*at),
            DaemonState::Gone { until, .. } => Some(*until),
        };
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
            match connection.next_request()? {
                None => break,
                Some(RequestBody::Hello(_)) => {
                    let (hosts, exits) = self.hosts.snapshot();
                    let host_dir = self.dir.host_dir().as_os_str().as_encoded_bytes();
                    connection.welcome(self.epoch, host_dir, &hosts, &exits)?;
                }
                Some(RequestBody::Ready(_)) => {
                    tracing::info!(epoch = self.epoch, "daemon ready");
                    self.ever_ready = true;
                }
                Some(RequestBody::SpawnHost(request)) => {
                    let spawned = if self.stopping {
                        Err(Refusal::new(Errno::ESHUTDOWN, "the supervisor is ending"))
                    } else {
                        requests::spawn_host(&request, &mut self.hosts, &self.dir, &self.launcher)
                    };
                    match spawned {
                        Ok((id, pid)) => {
                            tracing::info!(host = %id, pid = pid.as_raw(), "host started");
                            connection.spawned(id.to_string(), to_wire(pid))?;
                        }
                        Err(Refusal { errno, message }) => {
                            tracing::warn!(host = request.id, %errno, message, "host not started");
                            connection.spawn_failed(SpawnFailed {
                                id: request.id,
                                errno: errno as i32,
                                message,
                            })?;
                        }
                    }
                }
                Some(RequestBody::KillHost(request)) => {
                    requests::kill_host(&request, &self.hosts).ok_or(Fault::BadSignal {
                        signal: request.signal,
                    })?;
                }
                Some(RequestBody::AckExit(ack)) => {
                    if let Ok(id) = ack.id.parse() {
                        self.hosts.acknowledge(&id);
                    }
                }
            }
        }
        Ok(())
    }

    fn on_signal(&mut self, signal: Signal) {
        if matches!(signal, Signal::SIGTERM | Signal::SIGINT) && !self.stopping {
            tracing::info!(%signal, hosts = self.hosts.living(), "told to end");
            self.stopping = true;
            match &mut self.daemon {
                DaemonState::Running(daemon) => {
                    signal_child(daemon.pid, Signal::SIGTERM);
                    daemon.kill_at = Some(Instant::now() + self.config.grace + GRACE_MARGIN);
                }
                DaemonState::Restarting { .. } => self.end_hosts(Outcome::Stopped),
                DaemonState::Gone { .. } => {}
            }
        } else if signal == Signal::SIGHUP
            && let DaemonState::Running(daemon) = &self.daemon
        {
            signal_child(daemon.pid, signal);
        }
        // SIGCHLD only woke us: several deaths can share one, so every turn reaps.
    }

    /// Takes every child that ended, ours or, for a PID 1, anybody's.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let pid = Pid::from_raw(pid.as_raw_nonzero().get());
            let Some(status) = ExitStatus::from_wait(status.as_raw()) else {
                continue;
            };
            if matches!(&self.daemon, DaemonState::Running(daemon) if daemon.pid == pid) {
                self.on_daemon_death(status);
            } else if let Some((id, exit)) = self.hosts.reaped(pid, status) {
                tracing::info!(host = %id, pid = exit.pid, %status, "host ended");
                self.dir.remove_socket(&id);
                self.tell(HostExited::new(&id, exit));
            } else {
                tracing::debug!(pid = pid.as_raw(), %status, "an orphan ended");
            }
        }
    }

    /// A fault here is met again, and dealt with, when the socket is served.
    fn tell(&mut self, exit: HostExited) {
        if let DaemonState::Running(daemon) = &mut self.daemon
            && let Some(connection) = &mut daemon.connection
            && connection.greeted()
            && let Err(fault) = connection.exited(exit)
        {
            tracing::debug!(%fault, "the next daemon will be told");
        }
    }

    fn on_daemon_death(&mut self, status: ExitStatus) {
        // It may have sent something, and died, between serve_daemon and reap.
        if let Err(fault) = self.exchange() {
            tracing::debug!(%fault, "last words");
        }
        let DaemonState::Running(daemon) = &self.daemon else {
            return;
        };
        let lived = daemon.born.elapsed();
        let pid = daemon.pid.as_raw();
        if self.stopping {
            tracing::info!(pid, %status, "daemon ended");
            self.end_hosts(if status == ExitStatus::Code(0) {
                Outcome::Stopped
            } else {
                Outcome::Unclean(status)
            });
        } else if self.ever_ready {
            tracing::error!(pid, %status, ?lived, "daemon died");
            self.restart_later(lived, status);
        } else {
            tracing::error!(pid, %status, "daemon ended before it served");
            self.end_hosts(Outcome::NeverReady(status));
        }
    }

    fn restart_later(&mut self, lived: Duration, status: ExitStatus) {
        match self.restarts.after_death(lived) {
            Verdict::RestartAfter(delay) => {
                let at = Instant::now() + delay;
                self.daemon = DaemonState::Restarting { at };
            }
            Verdict::GiveUp => self.end_hosts(Outcome::GaveUp(status)),
        }
    }

    /// Hosts had their chance to be ended in order, by the daemon.
    fn end_hosts(&mut self, outcome: Outcome) {
        self.signal_hosts(Signal::SIGTERM);
        self.daemon = DaemonState::Gone {
            outcome,
            until: Instant::now() + HOSTS_GRACE,
            killed: false,
        };
    }

    fn signal_hosts(&self, signal: Signal) {
        for pid in self.hosts.living_pids() {
            signal_child(pid, signal);
        }
    }

    /// Does what has become due; the outcome, once nothing is left to do.
    fn on_time(&mut self, now: Instant) -> Option<Outcome> {
        match &mut self.daemon {
            DaemonState::Running(daemon) => {
                if daemon.kill_at.is_some_and(|at| at <= now) {
                    tracing::error!(
                        pid = daemon.pid.as_raw(),
                        "daemon did not end in time, killed"
                    );
                    signal_child(daemon.pid, Signal::SIGKILL);
                    daemon.kill_at = None;
                }
                None
            }
            DaemonState::Restarting { at } if *at <= now => {
                match self.start_daemon() {
                    Ok(started) => self.daemon = started,
                    Err(error) => {
                        tracing::error!(%error, "cannot start the daemon");
                        // As a shell reports a program that it cannot run.
                        self.restart_later(Duration::ZERO, ExitStatus::Code(126));
                    }
                }
                None
            }
            DaemonState::Restarting { .. } => None,
            DaemonState::Gone {
                outcome,
                until,
                killed,
            } => {
                if self.hosts.living() == 0 {
                    return Some(*outcome);
                }
                if *until > now {
                    return None;
                }
                if *killed {
                    tracing::error!(
                        hosts = self.hosts.living(),
                        "hosts outlive SIGKILL: stuck in the kernel"
                    );
                    return Some(*outcome);
                }
                *killed = true;
                *until = now + HOSTS_GRACE;
                self.signal_hosts(Signal::SIGKILL);
                None
            }
        }
    }

    fn finish(self, outcome: Outcome) -> Result<ExitCode, SupervisorError> {
        if let Err(error) = self.dir.clear() {
            tracing::warn!(%error, path = %self.dir.host_dir().display(), "the directory of hosts stays behind");
        }
        match outcome {
            Outcome::Stopped => Ok(ExitCode::SUCCESS),
            Outcome::NeverReady(status) => Ok(ExitCode::from(status.shell_code())),
            Outcome::Unclean(status) => Err(SupervisorError::Unclean { status }),
            Outcome::GaveUp(last) => Err(SupervisorError::GaveUp {
                deaths: MAX_QUICK_DEATHS,
                last,
            }),
        }
    }
}

/// A child that was not reaped keeps its number, so this never hits a stranger.
fn signal_child(pid: Pid, signal: Signal) {
    if let Err(errno) = kill(pid, signal) {
        tracing::warn!(pid = pid.as_raw(), %signal, %errno, "cannot signal a child");
    }
}
