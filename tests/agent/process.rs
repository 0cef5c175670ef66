//! One process of the node agent, with its directories.
//!
//! **Invariant:** it does not outlive its test, and nothing of the developer's own environment reaches it.

use std::{
    ffi::OsStr,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use stagepages_tests::{LONG, node_agent, say};

/// A node agent that runs.
#[derive(Debug)]
pub(crate) struct Agent {
    child: Child,
    log: PathBuf,
}

impl Agent {
    /// Starts it with these arguments and variables; its log is `dir/agent.log`, which a later one goes on with.
    pub(crate) fn start<A: AsRef<OsStr>>(
        dir: &Path,
        args: impl IntoIterator<Item = A>,
        variables: &[(&str, &str)],
    ) -> Self {
        let log = dir.join("agent.log");
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = Command::new(node_agent())
            .args(args)
            .env_clear()
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// All that it has logged, and those before it in this directory.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The most bytes of memory that it ever had.
    pub(crate) fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:"));
        let kib = line.and_then(|it| it.split_whitespace().next()).unwrap();
        kib.parse::<u64>().unwrap() << 10
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// As the kernel does when memory is short.
    pub(crate) fn kill_9(mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        let deadline = Instant::now() + LONG;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "no end of it:\n{}", self.log());
            // The pace of asking; std has no wait with a bound.
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends it as kubelet does.
    pub(crate) fn stop(self) {
        self.signal(Signal::SIGTERM);
        let log = self.log.clone();
        let status = self.wait();
        let log = std::fs::read_to_string(log).unwrap();
        assert!(status.success(), "{status}:\n{log}");
        for trouble in ["panicked", "did not end in time"] {
            assert!(!log.contains(trouble), "{trouble}:\n{log}");
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
        if std::thread::panicking() {
            say(&format!("the agent's log:\n{}", self.log()));
        }
    }
}
