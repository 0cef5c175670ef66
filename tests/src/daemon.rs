//! One real daemon, with its supervisor and launch hosts, in a directory of its own.
//!
//! **Invariant:** when a `Daemon` is gone, so is every process of its tree; one that stayed is the test's failure, not the next test's riddle.
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::leavings::SharedMemory;
use crate::model::Trace;
use crate::notify::{NotifySocket, Ready};
use crate::options::{DaemonOptions, command, log_path, tls_dir};
use crate::pki::Pki;
use crate::process_tree::{Member, members};
use crate::wait::LONG;

/// A daemon that ended before it was ready.
#[derive(Debug)]
pub struct FailedStart {
    /// How.
    pub status: ExitStatus,
    /// What it wrote.
    pub log: String,
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    supervisor: Child,
    exit: Option<ExitStatus>,
    notify: NotifySocket,
    ready: Ready,
    options: DaemonOptions,
    /// Boxed: a daemon is held across the waits of every test.
    pki: Box<Pki>,
    /// Removed with everything in it, unless the test fails.
    dir: Option<TempDir>,
}

impl Daemon {
    /// Starts a daemon and waits until it is ready.
    ///
    /// # Panics
    /// If it does not get ready; its log is in the message.
    #[must_use]
    pub fn start(options: &DaemonOptions) -> Self {
        match Self::try_start(options) {
            Ok(daemon) => daemon,
            Err(FailedStart { status, log }) => {
                panic!("stagepagesd ended before it was ready, {status}:\n{log}")
            }
        }
    }

    /// Starts a daemon that may refuse to run.
    ///
    /// # Errors
    /// If it ended before it was ready.
    ///
    /// # Panics
    /// If it does neither within a minute.
    pub fn try_start(options: &DaemonOptions) -> Result<Self, FailedStart> {
        // Not TMPDIR, which can be long: the path of a Unix socket has room for 107 bytes.
        let dir = tempfile::Builder::new()
            .prefix("sp")
            .tempdir_in("/tmp")
            .expect("a directory in /tmp");
        let notify = NotifySocket::bind(&dir.path().join("notify"));
        let pki = Box::new(Pki::create(&tls_dir(dir.path())));
        let supervisor = command(dir.path(), options)
            .spawn()
            .expect("stagepagesd starts");
        let mut daemon = Self {
            supervisor,
            exit: None,
            notify,
            ready: Ready::default(),
            options: options.clone(),
            pki,
            dir: Some(dir),
        };
        match daemon.await_ready() {
            None => Ok(daemon),
            Some(status) => Err(FailedStart {
                status,
                log: daemon.log(),
            }),
        }
    }

    /// Waits until the daemon says that it is ready, once more: it was restarted.
    ///
    /// # Panics
    /// If the supervisor ends instead, or neither happens within a minute.
    pub fn restarted(&mut self) {
        if let Some(status) = self.await_ready() {
            panic!("the supervisor ended instead, {status}:\n{}", self.log());
        }
    }

    /// Starts the service once more, with the same files, and does not wait for it. Nothing of it but launch hosts MUST live.
    ///
    /// # Panics
    /// If the supervisor lives.
    pub fn start_again(&mut self) {
        assert!(self.try_wait().is_some(), "the supervisor still lives");
        self.notify.forget();
        self.supervisor = command(self.dir(), &self.options)
            .spawn()
            .expect("stagepagesd starts");
        self.exit = None;
    }

    /// Whether the daemon has said once more that it is ready. Does not wait.
    ///
    /// # Panics
    /// If the supervisor has ended instead.
    pub fn said_ready(&mut self) -> bool {
        if let Some(ready) = self.notify.try_receive() {
            self.ready = ready;
            return true;
        }
        if let Some(status) = self.try_wait() {
            panic!("the supervisor ended instead, {status}:\n{}", self.log());
        }
        false
    }

    /// Waits for readiness; what is returned is how the supervisor ended before that.
    fn await_ready(&mut self) -> Option<ExitStatus> {
        let deadline = Instant::now() + LONG;
        loop {
            if let Some(ready) = self.notify.receive() {
                self.ready = ready;
                return None;
            }
            if let Some(status) = self.try_wait() {
                return Some(status);
            }
            assert!(
                Instant::now() < deadline,
                "stagepagesd is neither ready nor gone after {} s:\n{}",
                LONG.as_secs(),
                self.log()
            );
        }
    }

    /// The Unix socket of the API.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn socket(&self) -> &Path {
        self.ready
            .unix
            .first()
            .expect("the daemon listens on a Unix socket")
    }

    /// The TCP address of the API.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn tcp(&self) -> SocketAddr {
        *self.ready.tcp.first().expect("the daemon listens on TCP")
    }

    /// The Unix socket of the status page.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn status_socket(&self) -> &Path {
        let first = self.ready.status_unix.first();
        first.expect("the status page is served on a Unix socket")
    }

    /// The TCP address of the status page.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn status_tcp(&self) -> SocketAddr {
        let first = self.ready.status_tcp.first();
        *first.expect("the status page is served on TCP")
    }

    /// The TCP address of the health service.
    ///
    /// # Panics
    /// If it has none of its own.
    #[must_use]
    pub fn health(&self) -> SocketAddr {
        self.ready
            .health
            .expect("the daemon answers health over TCP")
    }

    /// The files of TLS, which tests may replace.
    #[must_use]
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// The directory that holds all of this daemon's files; tests may add theirs.
    ///
    /// # Panics
    /// Never while the daemon lives.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.as_ref().expect("kept until the end").path()
    }

    /// Everything that the tree has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(log_path(self.dir()))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Whether it runs on the model of the kernel.
    #[must_use]
    pub fn is_modelled(&self) -> bool {
        self.options.model.is_some()
    }

    /// Of each launch that was finished what firmware measured, in hex; `None` where there is no model to tell it.
    #[must_use]
    pub fn firmware_digests(&self) -> Option<Vec<String>> {
        let digest = |event: &serde_json::Value| Some(event["digest"].as_str()?.to_owned());
        self.is_modelled()
            .then(|| self.trace().events().iter().filter_map(digest).collect())
    }

    /// What the model of the kernel has seen so far.
    ///
    /// # Panics
    /// If it does not run on the model.
    #[must_use]
    pub fn trace(&self) -> Trace {
        assert!(self.is_modelled(), "nobody writes a trace");
        Trace::read(self.dir())
    }

    /// The supervisor's process id.
    ///
    /// # Panics
    /// If the system has process ids beyond 2^31.
    #[must_use]
    pub fn pid(&self) -> Pid {
        if self.options.pid_namespace {
            let members = self.members();
            let supervisor = members.iter().find(|member| member.has_role("serve"));
            return supervisor.map_or_else(|| self.leader(), |member| member.pid);
        }
        self.leader()
    }

    /// Leads the tree's process group: the supervisor, or who made its pid namespace.
    fn leader(&self) -> Pid {
        Pid::from_raw(
            self.supervisor
                .id()
                .try_into()
                .expect("process ids fit 31 bits"),
        )
    }

    /// The process id of the daemon itself, which the supervisor started.
    ///
    /// # Panics
    /// If there is none at the moment.
    #[must_use]
    pub fn daemon_pid(&self) -> Pid {
        let members = self.members();
        let daemon = members.iter().find(|member| member.has_role("daemon"));
        daemon
            .unwrap_or_else(|| panic!("no daemon among {members:?}"))
            .pid
    }

    /// Asks the tree to end, as a service manager does, and returns at once.
    ///
    /// # Panics
    /// If it has ended already.
    pub fn terminate(&self) {
        assert!(self.exit.is_none(), "already ended");
        kill(self.pid(), Signal::SIGTERM).expect("the supervisor is this process's own child");
    }

    /// Waits for the end of the tree.
    ///
    /// # Panics
    /// If it does not end within a minute, or if anything of it outlives the supervisor.
    pub fn wait(mut self) -> ExitStatus {
        let status = self.await_exit(LONG).unwrap_or_else(|| {
            panic!("no end {} s after SIGTERM:\n{}", LONG.as_secs(), self.log())
        });
        let left = self.members();
        assert!(left.is_empty(), "the supervisor is gone, but not {left:?}");
        if self.is_modelled() {
            self.trace().assert_clean();
        }
        status
    }

    /// Ends the tree.
    ///
    /// # Panics
    /// If it does not end cleanly, completely and within a minute.
    pub fn stop(mut self) {
        let memory = SharedMemory::of(&self.members());
        self.terminate();
        let log = log_path(self.dir());
        self.await_exit(LONG);
        let (sockets, holders) = (self.sockets_and_scraps(), memory.holders());
        let said = self.log();
        let status = self.wait();
        assert!(
            !said.contains("are not written"),
            "whoever drains has its records written:\n{said}"
        );
        assert!(sockets.is_empty(), "left behind: {sockets:?}");
        assert!(
            holders.is_empty(),
            "memory of the launches is held still: {holders:?}"
        );
        assert!(
            status.success(),
            "a drained daemon exits with 0, not with {status}; its log was {}",
            log.display()
        );
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        members(self.leader(), self.dir())
    }

    pub(crate) fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.exit.is_none() {
            self.exit = self
                .supervisor
                .try_wait()
                .expect("the supervisor is this process's own child");
        }
        self.exit
    }

    pub(crate) fn await_exit(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        while self.try_wait().is_none() && Instant::now() < deadline {
            // The pace of asking; std has no wait with a bound.
            std::thread::sleep(Duration::from_millis(2));
        }
        self.exit
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.try_wait().is_none() {
            // One that was stopped ends too.
            for member in self.members() {
                kill(member.pid, Signal::SIGCONT).ok();
            }
            kill(self.pid(), Signal::SIGTERM).ok();
            self.await_exit(Duration::from_secs(20));
        }
        let left = self.members();
        for member in &left {
            kill(member.pid, Signal::SIGKILL).ok();
        }
        self.await_exit(Duration::from_secs(5));
        if std::thread::panicking() {
            print_tail(&self.log());
            let kept = self.dir.take().map(TempDir::keep);
            println!("harness: the daemon's files are kept in {kept:?}");
        } else {
            assert!(left.is_empty(), "had to be killed: {left:?}");
        }
    }
}

fn print_tail(log: &str) {
    const LINES: usize = 60;
    let skipped = log.lines().count().saturating_sub(LINES);
    println!("harness: the daemon's log, without its first {skipped} lines:");
    for line in log.lines().skip(skipped) {
        println!("  {line}");
    }
}
