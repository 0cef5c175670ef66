//! The service that the demo talks to: `serve` of this very binary, with all of its files in a temporary directory.
//!
//! **Invariant:** nothing is waited for without a bound, and nothing of the caller's own configuration reaches the service.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixDatagram,
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tempfile::TempDir;

use super::daemon::{Daemon, READY, says_ready};
use crate::supervisor::own_program;

/// For the supervisor to end; it gives the daemon and the hosts less than that.
const END: Duration = Duration::from_secs(20);
/// The longest directory under which every socket's path fits the 107 bytes that unix(7) has for it.
const LONGEST_PARENT: usize = 48;
/// Lines of the log that are shown after a failure.
const LOG_LINES: usize = 20;

/// A running service; ended when dropped.
pub(super) struct Service {
    supervisor: Child,
    /// Readable once the supervisor has ended.
    exited: OwnedFd,
    ended: bool,
    /// Where each daemon says that it is ready.
    notify: UnixDatagram,
    dir: TempDir,
}

impl Service {
    /// Starts a service, and returns when it says that it is ready.
    pub(super) fn start() -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("stagepages-demo-")
            .tempdir_in(parent())
            .context("a temporary directory")?;
        let notify = UnixDatagram::bind(dir.path().join("notify"))
            .context("a socket in the temporary directory")?;
        let mut supervisor = command(dir.path())?
            .spawn()
            .context("starting the supervisor")?;
        let exited = match pidfd_open(Pid::from_child(&supervisor), PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(errno) => {
                supervisor.kill()?;
                supervisor.wait()?;
                return Err(errno).context("watching the supervisor");
            }
        };
        let mut service = Self {
            supervisor,
            exited,
            ended: false,
            notify,
            dir,
        };
        service.await_ready()?;
        Ok(service)
    }

    /// The daemon in it; from now on that hears which one is ready.
    pub(super) fn daemon(&self) -> io::Result<Daemon> {
        Daemon::new(socket(self.dir.path()), self.notify.try_clone()?)
    }

    /// The last lines of what it logged.
    pub(super) fn log_tail(&self) -> String {
        let log = fs::read(self.dir.path().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let skipped = log.lines().count().saturating_sub(LOG_LINES);
        log.lines()
            .skip(skipped)
            .flat_map(|line| ["  ", line, "\n"])
            .collect()
    }

    /// Ends it, and removes its directory.
    pub(super) fn end(mut self) -> anyhow::Result<()> {
        let status = self.stop()?;
        ensure!(
            status.success(),
            "the supervisor should end with exit status 0, and ended with {status}; its last lines are\n{}",
            self.log_tail()
        );
        // Not by moving `dir` out: `Service` has a drop of its own, which finds nothing left to do.
        fs::remove_dir_all(self.dir.path()).context("removing the temporary directory")
    }

    /// Waits for the first daemon; the machine is probed meanwhile.
    fn await_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY;
        let mut message = [0; 4096];
        loop {
            let mut fds = [readable(&self.notify), readable(&self.exited)];
            ensure!(
                any(&mut fds, deadline)?,
                "the service is not ready after {} s; its last lines are\n{}",
                READY.as_secs(),
                self.log_tail()
            );
            if fds[0].any() == Some(true) {
                let length = self.notify.recv(&mut message)?;
                if says_ready(&message[..length]) {
                    return Ok(());
                }
            } else {
                let status = self.stop()?;
                bail!(
                    "the service ended before it was ready, with {status}; its last lines are\n{}",
                    self.log_tail()
                );
            }
        }
    }

    /// Tells the supervisor to end and waits for that; kills it where it does not.
    fn stop(&mut self) -> io::Result<ExitStatus> {
        if !self.ended {
            // Not yet waited for, so the process id is still this child's.
            kill_process(Pid::from_child(&self.supervisor), Signal::TERM)?;
            if !any(&mut [readable(&self.exited)], Instant::now() + END)? {
                self.supervisor.kill()?;
            }
            self.ended = true;
        }
        self.supervisor.wait()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // What failed here failed before, and was reported then.
        drop(self.stop());
    }
}

fn command(dir: &Path) -> io::Result<Command> {
    let log = File::create(dir.join("log"))?;
    let mut command = Command::new(own_program());
    command
        .arg("serve")
        .arg(format!("--listen=unix:{}", socket(dir).display()))
        .arg("--state-dir")
        .arg(dir.join("state"))
        .arg("--runtime-dir")
        .arg(dir.join("run"))
        .args(["--grace=2s", "--log=info", "--log-format=text"]);
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"STAGEPAGES_") {
            command.env_remove(name);
        }
    }
    command
        .env("NOTIFY_SOCKET", dir.join("notify"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    Ok(command)
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("api.sock")
}

fn parent() -> PathBuf {
    let usual = std::env::temp_dir();
    match usual.as_os_str().len() {
        0..=LONGEST_PARENT => usual,
        _ => PathBuf::from("/tmp"),
    }
}

fn readable(fd: &impl AsFd) -> PollFd<'_> {
    PollFd::new(fd.as_fd(), PollFlags::POLLIN)
}

/// Waits until one of them is readable, or the deadline is past; signals do not cut it short.
fn any(fds: &mut [PollFd<'_>], deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).map_err(io::Error::other)?;
        match poll(fds, left) {
            Err(Errno::EINTR) => {}
            other => return Ok(other? > 0),
        }
    }
}
