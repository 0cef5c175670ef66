//! A supervisor under test, and the control sockets of its daemons.

use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
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
    setup: Setup,
    supervisor: Child,
}

/// How a supervisor is started.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    /// Bounds its hosts; 0 for ten.
    pub(crate) max_hosts: usize,
    /// `PLATFORM=PATH`, for other hosts than this binary.
    pub(crate) host_programs: Vec<String>,
    /// Variables that it has besides this process's.
    pub(crate) environment: Vec<(&'static str, &'static str)>,
    /// Names of variables that its hosts get.
    pub(crate) host_env: Vec<String>,
    /// Whether it runs a copy of this binary, [`Rig::program`], which can be replaced.
    pub(crate) own_copy: bool,
    /// Whether it is PID 1 of a pid namespace.
    pub(crate) init: bool,
}

impl Rig {
    /// Starts a supervisor. `max_hosts` bounds its hosts.
    pub(crate) fn start(max_hosts: usize) -> Result<Self> {
        Self::with(Setup {
            max_hosts,
            ..Setup::default()
        })
    }

    /// Starts a supervisor.
    pub(crate) fn with(setup: Setup) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let control = SeqListener::bind(&dir.path().join("control"))?;
        if setup.own_copy {
            install(&std::env::current_exe()?, &dir.path().join("program"))?;
        }
        let supervisor = start(dir.path(), &setup)?;
        Ok(Self {
            dir,
            control,
            setup,
            supervisor,
        })
    }

    /// The next supervisor, in the same directory.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        self.supervisor = start(self.dir.path(), &self.setup)?;
        Ok(())
    }

    /// Kills the supervisor, which takes its daemon along and leaves its hosts.
    pub(crate) fn kill(&mut self, daemon: &Talk) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.supervisor.wait()?;
        daemon.expect("supervisor gone")?;
        daemon.expect_gone()
    }

    /// The file that the supervisor and its children run, where they have one of their own.
    pub(crate) fn program(&self) -> PathBuf {
        self.dir.path().join("program")
    }

    /// Puts another file in its place, as a package manager would.
    pub(crate) fn replace_program(&self, with: &Path) -> Result<()> {
        Ok(std::fs::rename(with, self.program())?)
    }

    /// A place for a case's own files.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Which file a process of ours runs.
    pub(crate) fn inode_of(path: &Path) -> Result<u64> {
        Ok(std::fs::metadata(path)?.ino())
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
        Ok(kill(Pid::from_raw(i32::try_from(self.pid()?)?), signal)?)
    }

    /// The supervisor's process, as we see it.
    pub(crate) fn pid(&self) -> Result<u32> {
        let started = self.supervisor.id();
        if !self.setup.init {
            return Ok(started);
        }
        // `unshare` waits for its one child.
        let children = std::fs::read_to_string(format!("/proc/{started}/task/{started}/children"))?;
        Ok(children.trim().parse()?)
    }

    /// Waits for the supervisor's end; it may be started again.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.supervisor.wait()?)
    }

    /// Waits for the supervisor's end, and looks at what it left.
    pub(crate) fn ended_with(
        mut self,
        look: impl FnOnce() -> Result<()>,
    ) -> Result<(ExitStatus, bool)> {
        let status = self.supervisor.wait()?;
        look()?;
        Ok((status, self.host_dir().exists()))
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
            if self.signal(Signal::SIGTERM).is_err() {
                drop(self.supervisor.kill());
            }
            drop(self.supervisor.wait());
        }
    }
}

/// Makes an executable copy. Another process writes it: a descriptor of ours would be in every child that some thread forks just then, and whoever
/// execs the file meanwhile gets ETXTBSY.
pub(crate) fn install(from: &Path, to: &Path) -> Result<()> {
    let done = Command::new("install")
        .arg("-m700")
        .args([from, to])
        .status()?;
    ensure!(done.success(), "install: {done}");
    Ok(())
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

fn start(dir: &Path, setup: &Setup) -> Result<Child> {
    let program = if setup.own_copy {
        dir.join("program")
    } else {
        std::env::current_exe()?
    };
    let mut command = if setup.init {
        let mut unshare = Command::new("unshare");
        if !nix::unistd::geteuid().is_root() {
            unshare.args(["--user", "--map-root-user"]);
        }
        unshare.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
        unshare.arg(program);
        unshare
    } else {
        Command::new(program)
    };
    let max_hosts = if setup.max_hosts == 0 {
        10
    } else {
        setup.max_hosts
    };
    Ok(command
        .arg("serve")
        .arg(dir.join("run"))
        .arg(dir.join("control"))
        .arg(max_hosts.to_string())
        .args(&setup.host_programs)
        .args(&setup.host_env)
        .envs(setup.environment.iter().copied())
        .spawn()?)
}
