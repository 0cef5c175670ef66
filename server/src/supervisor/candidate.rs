//! The build that an upgrade would go on with, and the question whether it can.
//!
//! It is whatever file the supervisor's program path names now; where it names none, that is the failure. It is asked by `PROGRAM check-upgrade`, with
//! the arguments that it would run with, so that a wrong configuration is found too.
//!
//! **Invariant:** nothing is given up for it: whatever it does, and for however long, the supervisor goes on.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::SupervisorConfig;
use super::event_loop::{DaemonState, Supervisor};
use super::exit::ExitStatus;
use super::handover::{self, HandoverError, STATE_VERSION};
use super::lifecycle::signal_child;
use super::programs::{HostProgramError, check_host_programs};
use super::spawn::Program;

/// How long a candidate may think.
const PATIENCE: Duration = Duration::from_secs(10);

/// A build that is asked whether it can go on.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) pid: Pid,
    pub(super) kill_at: Option<Instant>,
    file: FileId,
}

/// Which file, and which contents of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    inode: (u64, u64),
    size: u64,
    changed: (i64, i64),
}

/// Why a build must not go on for a running supervisor.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// Its state would be misread.
    #[error(transparent)]
    State(#[from] HandoverError),
    /// The living hosts are reached in another directory.
    #[error(
        "runtime_dir is {}, but the hosts that live are reached in {}: an upgrade cannot move them, restart instead",
        new.display(),
        running.display()
    )]
    Moved {
        /// Where they are.
        running: PathBuf,
        /// What is configured.
        new: PathBuf,
    },
    /// A program of hosts cannot be started.
    #[error(transparent)]
    HostProgram(#[from] HostProgramError),
}

/// Whether a supervisor of this build and configuration could go on for one that writes `state_version` and runs in `running_in`.
///
/// # Errors
/// Why not.
pub fn check_upgrade(
    config: &SupervisorConfig,
    state_version: u32,
    running_in: &Path,
) -> Result<(), UpgradeError> {
    handover::reads(state_version)?;
    if config.runtime_dir != running_in {
        return Err(UpgradeError::Moved {
            running: running_in.to_owned(),
            new: config.runtime_dir.clone(),
        });
    }
    Ok(check_host_programs(&config.host_programs)?)
}

impl FileId {
    fn of(path: &Path) -> io::Result<Self> {
        let file = fs::metadata(path)?;
        Ok(Self {
            inode: (file.dev(), file.ino()),
            size: file.size(),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

impl Supervisor {
    /// SIGUSR2: asks the candidate.
    pub(super) fn begin_upgrade(&mut self) {
        let retiring = matches!(&self.daemon, DaemonState::Running(daemon) if daemon.retiring);
        let ending = self.stopping || matches!(self.daemon, DaemonState::Gone { .. });
        if ending || retiring || self.candidate.is_some() {
            tracing::warn!(ending, "SIGUSR2 ignored: ending, or at an upgrade already");
            return;
        }
        match self.ask_candidate() {
            Ok(candidate) => {
                tracing::info!(
                    pid = candidate.pid.as_raw(),
                    "upgrade: asking the new build"
                );
                self.candidate = Some(candidate);
            }
            Err(error) => {
                let program = self.config.program.display();
                tracing::error!(%program, %error, "no upgrade: the new build cannot be started");
            }
        }
    }

    fn ask_candidate(&self) -> io::Result<Candidate> {
        let mut args: Vec<OsString> = vec![
            format!("--state-version={STATE_VERSION}").into(),
            with_value("--running-in=", self.dir.path()),
        ];
        args.extend(self.config.serve_args.iter().cloned());
        let file = FileId::of(&self.config.program)?;
        let null = File::open("/dev/null")?;
        let pid = self
            .launcher
            .spawn(Program::Successor, "check-upgrade", &args, null.as_fd())?;
        Ok(Candidate {
            pid,
            kill_at: Some(Instant::now() + PATIENCE),
            file,
        })
    }

    /// What it says decides.
    pub(super) fn on_candidate_end(&mut self, candidate: &Candidate, status: ExitStatus) {
        let unchanged = FileId::of(&self.config.program).is_ok_and(|file| file == candidate.file);
        if self.stopping || matches!(self.daemon, DaemonState::Gone { .. }) {
            return;
        }
        if status != ExitStatus::Code(0) {
            tracing::error!(%status, "no upgrade: the new build refuses, see its message above");
        } else if !unchanged {
            tracing::error!("no upgrade: its file changed while it was asked, send SIGUSR2 again");
        } else {
            self.exec_due = true;
        }
    }

    /// Kills a candidate that thinks too long.
    pub(super) fn hurry_candidate(&mut self, now: Instant) {
        if let Some(candidate) = &mut self.candidate
            && candidate.kill_at.is_some_and(|at| at <= now)
        {
            tracing::error!("the new build does not say whether it can go on, killed");
            candidate.kill_at = None;
            signal_child(candidate.pid, Signal::SIGKILL);
        }
    }
}

fn with_value(flag: &str, value: &Path) -> OsString {
    let mut arg = OsString::from(flag);
    arg.push(value);
    arg
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::supervisor::Sockets;

    #[test]
    fn a_build_refuses_what_it_could_not_go_on_with() {
        let mut config = SupervisorConfig {
            program: PathBuf::from("/bin/true"),
            host_programs: BTreeMap::new(),
            host_env: BTreeSet::new(),
            host_args: Vec::new(),
            host_uid: None,
            daemon_args: Vec::new(),
            serve_args: Vec::new(),
            runtime_dir: PathBuf::from("/run/a"),
            grace: Duration::ZERO,
            max_hosts: 1,
            sockets: Sockets::default(),
        };
        let here = Path::new("/run/a");
        check_upgrade(&config, STATE_VERSION, here).unwrap();
        let future = check_upgrade(&config, STATE_VERSION + 1, here).unwrap_err();
        assert!(matches!(
            future,
            UpgradeError::State(HandoverError::Version { .. })
        ));
        let moved = check_upgrade(&config, STATE_VERSION, Path::new("/run/b")).unwrap_err();
        assert!(matches!(moved, UpgradeError::Moved { .. }));
        config
            .host_programs
            .insert("kvm".to_owned(), PathBuf::from("/nowhere"));
        let missing = check_upgrade(&config, STATE_VERSION, here).unwrap_err();
        assert!(matches!(missing, UpgradeError::HostProgram(_)));
    }
}
