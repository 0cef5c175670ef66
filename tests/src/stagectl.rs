//! Running `stagectl`.
//!
//! **Invariant:** the environment of the developer's shell does not reach it.
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::{bench::Bench, binaries::binaries, daemon::Daemon};
use serde_json::Value;

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    /// Its exit status; `None` if a signal ended it.
    pub exit: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs `stagectl` with `arguments` against `daemon`.
///
/// # Panics
/// If it cannot be run, or prints what is no UTF-8.
#[must_use]
pub fn stagectl(daemon: &Daemon, arguments: &[&str]) -> Run {
    let endpoint = format!("unix:{}", daemon.socket().display());
    run(&[&["--endpoint", &endpoint], arguments].concat())
}

/// Starts `stagectl` with `arguments`, to be killed when it is dropped or before; what it prints on standard output goes to `stdout`.
///
/// # Panics
/// If it cannot be run, or without a runtime.
#[must_use]
pub fn start(socket: &Path, arguments: &[&str], stdout: Stdio) -> tokio::process::Child {
    tokio::process::Command::from(command())
        .arg(format!("--endpoint=unix:{}", socket.display()))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

fn command() -> Command {
    let mut command = Command::new(&binaries().stagectl);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STAGEPAGES_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs `stagectl` with these arguments and no others.
///
/// # Panics
/// If it cannot be run, or prints what is no UTF-8.
#[must_use]
pub fn run(arguments: &[&str]) -> Run {
    let Output {
        status,
        stdout,
        stderr,
    } = command().args(arguments).output().unwrap();
    Run {
        exit: status.code(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// Runs a command that must succeed, and returns its JSON.
///
/// # Panics
/// If it fails.
#[track_caller]
pub fn json(bench: &Bench, arguments: &[&str]) -> Value {
    let run = stagectl(&bench.daemon, &[&["--output", "json"], arguments].concat());
    assert_eq!(run.exit, Some(0), "{arguments:?}: {run:?}");
    run.document()
}

/// Runs a command that must fail with exit status 1, and returns its JSON.
///
/// # Panics
/// If it does not.
#[track_caller]
pub fn failing_json(bench: &Bench, arguments: &[&str]) -> Value {
    let run = stagectl(&bench.daemon, &[&["--output", "json"], arguments].concat());
    assert_eq!(run.exit, Some(1), "{arguments:?}: {run:?}");
    assert!(
        run.stderr.contains("error: ") && run.stderr.contains("hint: "),
        "a person is told too: {run:?}"
    );
    run.document()
}

impl Run {
    /// The one JSON document on standard output.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    #[track_caller]
    pub fn document(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The platform, as the command line names it.
#[must_use]
pub fn platform(bench: &Bench) -> String {
    bench
        .platform
        .as_str_name()
        .trim_start_matches("PLATFORM_")
        .to_lowercase()
        .replace('_', "-")
}
