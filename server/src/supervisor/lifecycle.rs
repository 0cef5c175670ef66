//! How children come and go: starts, deaths, and what becomes due.
//!
//! **Invariant:** children are reaped here and nowhere else. One that was not reaped keeps its number, so no signal of ours ever hits a
//! stranger.

use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::process::{WaitOptions, wait};
use stagepages_host::wire::SeqSocket;

use super::SupervisorError;
use super::connection::Connection;
use super::event_loop::{Daemon, DaemonState, Outcome, Supervisor};
use super::exit::ExitStatus;
use super::proto::HostExited;
use super::restart::{MAX_QUICK_DEATHS, Verdict};

/// For hosts behind SIGTERM, and again behind SIGKILL.
const HOSTS_GRACE: Duration = Duration::from_secs(5);

impl Supervisor {
    pub(super) fn start_daemon(&mut self) -> io::Result<DaemonState> {
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

    /// Takes every child that ended, ours or, for a PID 1, anybody's.
    pub(super) fn reap(&mut self) {
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
        let DaemonState::Running(daemon) = &mut self.daemon else {
            return;
        };
        // It may have become ready, and died, between serve_daemon and reap.
        let was_ready = daemon
            .connection
            .as_mut()
            .is_some_and(Connection::says_ready);
        self.ever_ready |= was_ready;
        let lived = daemon.born.elapsed();
        let pid = daemon.pid.as_raw();
        if self.stopping {
            tracing::info!(pid, %status, "daemon ended");
            // Where SIGTERM itself ended it, it had no handler yet, and nothing to drain.
            let clean =
                status == ExitStatus::Code(0) || status.signal() == Some(Signal::SIGTERM as i32);
            self.end_hosts(if clean {
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
    pub(super) fn end_hosts(&mut self, outcome: Outcome) {
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
    pub(super) fn on_time(&mut self, now: Instant) -> Option<Outcome> {
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

    pub(super) fn finish(self, outcome: Outcome) -> Result<ExitCode, SupervisorError> {
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

/// One that just ended, and waits to be reaped, is no error.
pub(super) fn signal_child(pid: Pid, signal: Signal) {
    if let Err(errno) = kill(pid, signal) {
        tracing::warn!(pid = pid.as_raw(), %signal, %errno, "cannot signal a child");
    }
}
