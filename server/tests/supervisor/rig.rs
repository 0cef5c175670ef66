//! A supervisor under test, and the control sockets of its daemons.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stagepages_host::wire::{SeqListener, SeqSocket};

/// Far above what anything here takes; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(40);

/// One supervisor in its own directory.
pub(crate) struct Rig {
    dir: tempfile::TempDir,
    control: SeqListener,
    supervisor: Child,
}

impl Rig {
    /// Starts a supervisor. `max_hosts` bounds its hosts.
    pub(crate) fn start(max_hosts: usize) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("control");
        let control = SeqListener::bind(&path)?;
        let supervisor = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg(dir.path().join("run"))
            .arg(path)
            .arg(max_hosts.to_string())
            .spawn()?;
        Ok(Self {
            dir,
            control,
            supervisor,
        })
    }

    /// The next daemon. It waits for a first command: `link`, or a way to go wrong.
    pub(crate) fn daemon(&self) -> Result<Talk> {
        wait_for(&self.control).context("no daemon came")?;
        Ok(Talk(self.control.accept()?))
    }

    /// The next daemon, linked and serving. Also what its welcome said.
    pub(crate) fn serving_daemon(&self) -> Result<(Talk, String)> {
        let daemon = self.daemon()?;
        let welcome = daemon.ask("link")?;
        daemon.say("ready")?;
        Ok((daemon, welcome))
    }

    pub(crate) fn socket(&self, id: &str) -> PathBuf {
        self.host_dir().join(format!("{id}.sock"))
    }

    pub(crate) fn host_dir(&self) -> PathBuf {
        self.dir.path().join("run/h")
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(pid(&self.supervisor)?, signal)?)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.supervisor.id()
    }

    /// Waits for the supervisor's end.
    pub(crate) fn ended(mut self) -> Result<(ExitStatus, bool)> {
        let left = self.host_dir();
        let status = self.supervisor.wait()?;
        Ok((status, left.exists()))
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // In order, so that no host is left; where the case waited for the end itself, both come to nothing.
        if self
            .supervisor
            .try_wait()
            .is_ok_and(|ended| ended.is_none())
        {
            drop(self.signal(Signal::SIGTERM));
            drop(self.supervisor.wait());
        }
    }
}

/// A control socket.
pub(crate) struct Talk(SeqSocket);

impl Talk {
    pub(crate) fn connect(path: &Path) -> Result<Self> {
        Ok(Self(SeqSocket::connect(path)?))
    }

    pub(crate) fn say(&self, line: &str) -> Result<()> {
        Ok(self.0.send(line.as_bytes(), &[])?)
    }

    /// The next line, or `None` when the peer is gone.
    pub(crate) fn hear(&self) -> Result<Option<String>> {
        wait_for(&self.0).context("nothing was said")?;
        let frame = self.0.recv()?;
        Ok(frame
            .map(|frame| String::from_utf8(frame.bytes))
            .transpose()?)
    }

    pub(crate) fn ask(&self, line: &str) -> Result<String> {
        self.say(line)?;
        self.hear()?
            .with_context(|| format!("gone instead of answering {line:?}"))
    }

    pub(crate) fn expect(&self, line: &str) -> Result<()> {
        let heard = self.hear()?;
        ensure!(heard.as_deref() == Some(line), "{heard:?}, not {line:?}");
        Ok(())
    }

    pub(crate) fn expect_gone(&self) -> Result<()> {
        match self.hear()? {
            None => Ok(()),
            Some(line) => bail!("still there: {line:?}"),
        }
    }
}

fn wait_for(socket: &impl AsFd) -> Result<()> {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    let ready = poll(&mut fds, PollTimeout::try_from(PATIENCE)?)?;
    ensure!(ready == 1, "waited {PATIENCE:?} in vain");
    Ok(())
}

fn pid(child: &Child) -> Result<Pid> {
    Ok(Pid::from_raw(i32::try_from(child.id())?))
}
