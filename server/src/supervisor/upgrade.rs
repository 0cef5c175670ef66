//! The upgrade in place: another build goes on as this very process.
//!
//! ```text
//!  SIGUSR2 ──▶ candidate is asked ──exit 0──▶ exec, state handed over ──▶ the daemon is retired, and followed by one of the new build
//!                 │ anything else, 10 s, or its file changed meanwhile
//!                 └──▶ logged; nothing has changed
//! ```
//!
//! Children stay ours, because a process keeps them when it execs, and descriptors travel as [`handover`] says.
//!
//! **Invariant:** up to the exec everything can go on as before, and behind it nothing is asked of anybody: hosts do not notice.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use stagepages_host::wire::SeqSocket;

use super::activation::Sockets;
use super::connection::{Connection, Outgoing};
use super::event_loop::{Daemon, DaemonState, GRACE_MARGIN, Supervisor};
use super::exit::HostExit;
use super::handover::{
    self, Handed, HandoverError, HeldConnection, HeldDaemon, HeldFrame, HeldHost, HeldSocket,
    Luggage, STATE_VERSION, State,
};
use super::hosts::HostTable;
use super::id::HostId;
use super::lifecycle::signal_child;
use super::process::{PidFd, Process};
use super::proto::{HostExited, HostKind};
use super::restart::RestartPolicy;
use super::runtime_dir::RuntimeDir;
use super::signals::Signals;
use super::{SupervisorConfig, SupervisorError};

impl Supervisor {
    /// Becomes the new build. Returns only if the kernel refuses; everything is as before then.
    pub(super) fn exec(&mut self) {
        self.exec_due = false;
        let mut luggage = Luggage::default();
        let state = self.pack(&mut luggage);
        let mut args: Vec<OsString> = vec!["--take-over".into()];
        args.extend(self.config.serve_args.iter().cloned());
        tracing::info!(
            hosts = self.hosts.living(),
            "upgrade: the new build goes on"
        );
        let error = handover::hand_over(&state, &luggage, || self.launcher.exec("serve", &args));
        tracing::error!(%error, "no upgrade: the new build cannot be started");
    }

    fn pack<'a>(&'a self, luggage: &mut Luggage<'a>) -> State {
        let (living, exits) = self.hosts.snapshot();
        let mut hosts: Vec<HeldHost> = living
            .into_iter()
            .map(|host| HeldHost {
                id: host.id,
                pid: host.pid.cast_signed(),
                kind: host.kind,
                pidfd: None,
            })
            .collect();
        for (host, process) in hosts.iter_mut().zip(self.hosts.processes()) {
            if let Process::Adopted(held) = process {
                host.pidfd = Some(luggage.put(held.as_fd()));
            }
        }
        let daemon = match &self.daemon {
            DaemonState::Running(daemon) => Some(HeldDaemon {
                pid: daemon.pid.as_raw(),
                lived_ms: u64::try_from(daemon.born.elapsed().as_millis()).unwrap_or(u64::MAX),
                connection: daemon.connection.as_ref().map(|connection| HeldConnection {
                    socket: luggage.put(connection.as_fd()),
                    greeted: connection.greeted(),
                    outgoing: connection.outgoing().map(to_wire).collect(),
                }),
            }),
            DaemonState::Restarting { .. } | DaemonState::Gone { .. } => None,
        };
        let sockets = &self.config.sockets;
        let sockets = sockets.names().zip(sockets.fds());
        let sockets = sockets.map(|(name, fd)| HeldSocket {
            name: name.to_string(),
            socket: luggage.put(fd),
        });
        let sockets = sockets.collect();
        State {
            version: STATE_VERSION,
            epoch: self.epoch,
            ever_ready: self.ever_ready,
            quick_deaths: self.restarts.quick_deaths(),
            runtime_dir: self.dir.path().as_os_str().as_bytes().to_vec(),
            lock: luggage.put(self.dir.lock()),
            hosts,
            exits,
            daemon,
            sockets,
        }
    }

    /// Goes on where an earlier build stopped, and retires its daemon.
    pub(super) fn resume(
        mut config: SupervisorConfig,
        mut handed: Handed,
        signals: Signals,
    ) -> Result<Self, SupervisorError> {
        let path = OsString::from_vec(std::mem::take(&mut handed.state.runtime_dir)).into();
        let lock = handed
            .take(handed.state.lock)
            .ok_or(HandoverError::Invalid("lock"))?;
        let dir = RuntimeDir::resume(path, lock);
        config.sockets = unpack_sockets(&mut handed)?;
        let hosts = unpack_hosts(&mut handed, config.max_hosts)?;
        let daemon = unpack_daemon(&mut handed, &config.sockets)?;
        let mut supervisor = Self::new(config, dir, signals);
        supervisor.hosts = hosts;
        supervisor.epoch = handed.state.epoch;
        supervisor.ever_ready = handed.state.ever_ready;
        supervisor.restarts = RestartPolicy::resume(handed.state.quick_deaths);
        if let Some(daemon) = daemon {
            supervisor.daemon = DaemonState::Running(daemon);
            supervisor.retire_daemon();
        }
        let hosts = supervisor.hosts.living();
        tracing::info!(hosts, epoch = supervisor.epoch, "upgraded");
        Ok(supervisor)
    }

    /// Asks the daemon to make room for one of this build.
    fn retire_daemon(&mut self) {
        let DaemonState::Running(daemon) = &mut self.daemon else {
            return;
        };
        daemon.retiring = true;
        // One that listens is asked over its socket: SIGTERM would have it tell a service manager that the service ends.
        let asked = match &mut daemon.connection {
            Some(connection) if connection.greeted() => connection.retire().is_ok(),
            Some(_) | None => false,
        };
        if !asked {
            signal_child(daemon.pid, Signal::SIGTERM);
        }
        // A grace beyond what the clock can count never ends.
        let patience = self.config.grace.saturating_add(GRACE_MARGIN);
        daemon.kill_at = Instant::now().checked_add(patience);
    }
}

fn unpack_hosts(handed: &mut Handed, limit: usize) -> Result<HostTable, HandoverError> {
    let mut hosts = HostTable::new(limit);
    for held in std::mem::take(&mut handed.state.hosts) {
        let id: Option<HostId> = held.id.parse().ok();
        let kind = HostKind::try_from(held.kind).ok();
        let (Some(id), Some(kind)) = (id, kind) else {
            return Err(HandoverError::Invalid("host"));
        };
        let pid = Pid::from_raw(held.pid);
        match held.pidfd {
            None => hosts.started(id, pid, kind),
            Some(number) => {
                let fd = handed.take(number).ok_or(HandoverError::Invalid("pidfd"))?;
                hosts.adopt(id, PidFd::verified(fd, pid), kind);
            }
        }
    }
    for exited in &handed.state.exits {
        let exit: Option<(HostId, HostExit)> = HostExited::to_exit(exited);
        let (id, exit) = exit.ok_or(HandoverError::Invalid("exit"))?;
        hosts.restore_exit(id, exit);
    }
    Ok(hosts)
}

fn unpack_sockets(handed: &mut Handed) -> Result<Sockets, HandoverError> {
    let held = std::mem::take(&mut handed.state.sockets);
    let socket = |held: HeldSocket| {
        let invalid = || HandoverError::Invalid("listening socket");
        let name = held.name.parse().map_err(|()| invalid())?;
        Ok((name, handed.take(held.socket).ok_or_else(invalid)?))
    };
    let sockets: Result<Vec<_>, HandoverError> = held.into_iter().map(socket).collect();
    sockets.map(Sockets::resume)
}

fn unpack_daemon(handed: &mut Handed, sockets: &Sockets) -> Result<Option<Daemon>, HandoverError> {
    let Some(held) = handed.state.daemon.take() else {
        return Ok(None);
    };
    let connection = match held.connection {
        None => None,
        Some(connection) => {
            let socket = handed.take(connection.socket);
            let socket = SeqSocket::from(socket.ok_or(HandoverError::Invalid("socket"))?);
            let outgoing = connection.outgoing.into_iter().map(from_wire).collect();
            Some(Connection::resume(
                socket,
                sockets.clone(),
                connection.greeted,
                outgoing,
            ))
        }
    };
    let now = Instant::now();
    Ok(Some(Daemon {
        pid: Pid::from_raw(held.pid),
        born: now
            .checked_sub(Duration::from_millis(held.lived_ms))
            .unwrap_or(now),
        connection,
        kill_at: None,
        retiring: false,
    }))
}

fn to_wire(frame: &Outgoing) -> HeldFrame {
    HeldFrame {
        bytes: frame.bytes.clone(),
        is_answer: frame.is_answer,
        with_sockets: frame.with_sockets,
    }
}

fn from_wire(frame: HeldFrame) -> Outgoing {
    Outgoing {
        bytes: frame.bytes,
        is_answer: frame.is_answer,
        with_sockets: frame.with_sockets,
    }
}
