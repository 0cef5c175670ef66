//! How children come and go: starts, deaths, and what becomes due.
//!
//! **Invariant:** children are reaped here and nowhere else. One that was not reaped keeps its number, and other hosts are held by pidfds, so no
//! signal of ours ever hits a stranger.

use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::process::{WaitOptions, wait};
use stagepages_host::wire::SeqSocket;

use super::SupervisorError;
use super::connection::Connection;
use super::event_loop::{Daemon, DaemonState, Outcome, Supervisor};
use super::exit::{ExitStatus, HostExit};
use super::id::HostId;
use super::process::Process;
use super::proto::{HostExited, RequestBody};
use super::restart::{MAX_QUICK_DEATHS, Verdict};
use super::spawn::Program;

/// For hosts behind SIGTERM, and again behind SIGKILL.
const HOSTS_GRACE: Duration = Duration::from_secs(5);

impl Supervisor {
    pub(super) fn start_daemon(&mut self) -> io::Result<DaemonState> {
        let (ours, theirs) = SeqSocket::pair()?;
        let args = &self.config.daemon_args;
        let pid = self
            .launcher
            .spawn(Program::Own, "daemon", args, theirs.as_fd())?;
        self.epoch += 1;
        tracing::info!(pid = pid.as_raw(), epoch = self.epoch, "daemon started");
        Ok(DaemonState::Running(Daemon {
            pid,
            born: Instant::now(),
            connection: Some(Connection::new(ours, self.config.sockets.clone())),
            kill_at: None,
            retiring: false,
        }))
    }

    /// Takes every child that ended, ours or, for a PID 1, anybody's, and every adopted host.
    ///
    /// Adopted ones first, by their descriptors: what is waited for then by its number cannot be taken for one that is long gone. As PID 1 we are
    /// their parent too, and whichever way sees the end first tells it, with the true status.
    pub(super) fn reap(&mut self) {
        for id in self.ended_adopted() {
            let status = self.hosts.process_of(&id).map(|process| match process {
                Process::Adopted(held) => held.status(),
                Process::Child(_) => ExitStatus::Unknown,
            });
            let ended = status.and_then(|status| self.hosts.ended(id, status));
            self.on_host_death(ended);
        }
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let pid = Pid::from_raw(pid.as_raw_nonzero().get());
            let Some(status) = ExitStatus::from_wait(status.as_raw()) else {
                continue;
            };
            if matches!(&self.daemon, DaemonState::Running(daemon) if daemon.pid == pid) {
                self.on_daemon_death(status);
            } else if let Some(candidate) = self.candidate.take_if(|asked| asked.pid == pid) {
                self.on_candidate_end(&candidate, status);
            } else if let ended @ Some(_) = self.hosts.reaped(pid, status) {
                self.on_host_death(ended);
            } else {
                tracing::debug!(pid = pid.as_raw(), %status, "an orphan ended");
            }
        }
    }

    fn ended_adopted(&self) -> Vec<HostId> {
        let (ids, mut fds): (Vec<_>, Vec<_>) = self
            .hosts
            .adopted()
            .map(|(id, held)| (id, PollFd::new(held.as_fd(), PollFlags::POLLIN)))
            .unzip();
        if fds.is_empty() || poll(&mut fds, PollTimeout::ZERO).is_err() {
            return Vec::new();
        }
        let ended = ids.into_iter().zip(&fds);
        ended
            .filter(|(_, fd)| fd.any() == Some(true))
            .map(|(id, _)| id.clone())
            .collect()
    }

    fn on_host_death(&mut self, ended: Option<(HostId, HostExit)>) {
        let Some((id, exit)) = ended else {
            return;
        };
        tracing::info!(host = %id, pid = exit.pid, status = %exit.status, "host ended");
        self.dir.remove_socket(&id);
        self.tell(HostExited::new(&id, exit));
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
        // It may have become ready or acknowledged an exit, and died, between serve_daemon and reap.
        for said in daemon
            .connection
            .iter_mut()
            .flat_map(Connection::last_words)
        {
            match said {
                RequestBody::Ready(_) => self.ever_ready = true,
                RequestBody::AckExit(ack) => self.hosts.acknowledge_named(&ack),
                RequestBody::Hello(_)
                | RequestBody::SpawnHost(_)
                | RequestBody::KillHost(_)
                | RequestBody::AdoptHost(_) => {}
            }
        }
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
        } else if daemon.retiring {
            tracing::info!(pid, %status, "daemon retired");
            self.daemon = DaemonState::Restarting { at: Instant::now() };
        } else if self.ever_ready {
            tracing::error!(pid, %status, ?lived, "daemon died");
            self.restart_later(lived, status);
        } else {
            tracing::error!(pid, %status, "daemon ended before it served");
            self.end_hosts(Outcome::NeverReady(status));
        }
    }

    fn restart_later(&mut self, lived: Duration, status: ExitStatus) {
        let hosts_live = self.hosts.living() > 0;
        match self.restarts.after_death(lived, hosts_live) {
            Verdict::RestartAfter(delay) => {
                let at = Instant::now() + delay;
                self.daemon = DaemonState::Restarting { at };
            }
            Verdict::GiveUp => self.end_hosts(Outcome::GaveUp(status)),
        }
    }

    /// Hosts had their chance to be ended in order, by the daemon.
    pub(super) fn end_hosts(&mut self, outcome: Outcome) {
        self.signal_hosts(outcome, Signal::SIGTERM);
        self.daemon = DaemonState::Gone {
            outcome,
            until: Instant::now() + HOSTS_GRACE,
            killed: false,
        };
    }

    fn signal_hosts(&self, outcome: Outcome, signal: Signal) {
        for process in self.to_end(outcome) {
            process.signal(signal);
        }
    }

    /// Whom we take along. A daemon that never served started nothing but probes; what it had adopted until then is not ours to end because, say, its
    /// configuration is wrong: the next start finds it again.
    fn to_end(&self, outcome: Outcome) -> Vec<Process<'_>> {
        match outcome {
            Outcome::NeverReady(_) => self.hosts.children().collect(),
            Outcome::Stopped | Outcome::Unclean(_) | Outcome::GaveUp(_) => {
                self.hosts.processes().collect()
            }
        }
    }

    /// Does what has become due; the outcome, once nothing is left to do.
    pub(super) fn on_time(&mut self, now: Instant) -> Option<Outcome> {
        self.hurry_candidate(now);
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
                let (outcome, due, last) = (*outcome, *until <= now, *killed);
                let left = self.to_end(outcome).len();
                if left > 0 && due && last {
                    tracing::error!(hosts = left, "hosts outlive SIGKILL: stuck in the kernel");
                } else if left > 0 {
                    if due {
                        self.kill_hosts(outcome, now);
                    }
                    return None;
                }
                Some(outcome)
            }
        }
    }

    fn kill_hosts(&mut self, outcome: Outcome, now: Instant) {
        self.signal_hosts(outcome, Signal::SIGKILL);
        self.daemon = DaemonState::Gone {
            outcome,
            until: now + HOSTS_GRACE,
            killed: true,
        };
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
