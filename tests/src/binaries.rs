//! The real binaries, built once per test process.
//!
//! Cargo gives a test package no binary of another package, so the harness asks cargo for them; that is what lets each suite run alone in a
//! fresh clone. Processes that ask at the same time are ordered by cargo's own lock.
//!
//! **Invariant:** the binaries have the profile of the test that runs them, and lie in the same target directory.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::say::say;

/// Names a directory that holds `stagepagesd`, `stagectl` and `stagepages-node-agent` already, and the model's library, so that nothing is built.
const BIN_DIR: &str = "STAGEPAGES_BIN_DIR";

/// Where the binaries are.
#[derive(Debug)]
pub struct Binaries {
    /// Supervisor, daemon and launch host.
    pub stagepagesd: PathBuf,
    /// The operator's tool.
    pub stagectl: PathBuf,
}

/// The package of the library that puts a model of the kernel beneath a program, and the library's name.
const MODEL: (&str, &str) = (
    "stagepages-kernel-preload",
    "libstagepages_kernel_preload.so",
);

/// The package of the node agent, and its binary.
const NODE_AGENT: &str = "stagepages-node-agent";

/// The package of the library that plays an intruder, and the library's name.
const INTRUDER: (&str, &str) = ("stagepages-intruder", "libstagepages_intruder.so");

/// The node agent, built by the first call.
///
/// # Panics
/// As [`binaries`].
pub fn node_agent() -> &'static Path {
    static AGENT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = AGENT.get_or_init(|| match std::env::var_os(BIN_DIR) {
        Some(dir) => Ok(Path::new(&dir).join(NODE_AGENT)),
        None => executable(&build(&[NODE_AGENT], "--bins")?, NODE_AGENT),
    });
    found.as_ref().unwrap_or_else(|error| panic!("{error}"))
}

/// The library that puts a model of the kernel beneath a program, built by the first call.
///
/// # Panics
/// As [`binaries`].
pub(crate) fn model_library() -> &'static Path {
    static LIBRARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    preloadable(MODEL, &LIBRARY)
}

/// The library that plays somebody who has taken a process over, built by the first call.
///
/// # Panics
/// As [`binaries`].
pub fn intruder_library() -> &'static Path {
    static LIBRARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    preloadable(INTRUDER, &LIBRARY)
}

fn preloadable(
    (package, file): (&str, &str),
    built: &'static OnceLock<Result<PathBuf, String>>,
) -> &'static Path {
    let found = built.get_or_init(|| match std::env::var_os(BIN_DIR) {
        Some(dir) => Ok(Path::new(&dir).join(file)),
        None => library(&build(&[package], "--lib")?, file),
    });
    found.as_ref().unwrap_or_else(|error| panic!("{error}"))
}

/// The binaries, built by the first call.
///
/// # Panics
/// If they cannot be built; the first failure is every later call's too, so that a broken tree is built once and not once a test.
pub fn binaries() -> &'static Binaries {
    static BINARIES: OnceLock<Result<Binaries, String>> = OnceLock::new();
    let found = BINARIES.get_or_init(|| match std::env::var_os(BIN_DIR) {
        Some(dir) => in_directory(Path::new(&dir)),
        None => build_binaries(),
    });
    found.as_ref().unwrap_or_else(|error| panic!("{error}"))
}

fn in_directory(dir: &Path) -> Result<Binaries, String> {
    say(&format!("using the binaries in {}", dir.display()));
    let found = Binaries {
        stagepagesd: dir.join("stagepagesd"),
        stagectl: dir.join("stagectl"),
    };
    for path in [&found.stagepagesd, &found.stagectl] {
        if !path.is_file() {
            return Err(format!(
                "{BIN_DIR} is set, but {} is not there",
                path.display()
            ));
        }
    }
    Ok(found)
}

fn build_binaries() -> Result<Binaries, String> {
    let messages = build(&["stagepages-server", "stagepages-client"], "--bins")?;
    Ok(Binaries {
        stagepagesd: executable(&messages, "stagepagesd")?,
        stagectl: executable(&messages, "stagectl")?,
    })
}

/// Cargo, as it would be called from a terminal. What it told this test of its own package is not for another call: ring's build script
/// watches these variables, and would compile anew whenever the one that calls changes.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let of_package = ["CARGO_PKG_", "CARGO_MANIFEST_"];
        if of_package
            .iter()
            .any(|it| name.as_encoded_bytes().starts_with(it.as_bytes()))
        {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Builds `what` of these packages, and returns what cargo says.
fn build(packages: &[&str], what: &str) -> Result<String, String> {
    // <target directory>/<profile's directory>/deps/<this test>
    let test = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
    let profile_dir = test
        .ancestors()
        .nth(2)
        .ok_or("this test is not where cargo puts tests")?;
    let target_dir = profile_dir
        .parent()
        .ok_or("this test is not where cargo puts tests")?;
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(other) => other,
        None => return Err("this test is in a directory that names no profile".to_owned()),
    };
    say(&format!(
        "building {}, profile {profile}, into {}",
        packages.join(" and "),
        target_dir.display()
    ));

    let output = cargo()
        .args(["build", what])
        .args(packages.iter().flat_map(|package| ["--package", package]))
        .args([
            "--message-format",
            "json-render-diagnostics",
            "--profile",
            profile,
        ])
        .arg("--target-dir")
        .arg(target_dir)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo does not start: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "cargo could not build {}: {}",
            packages.join(" and "),
            output.status
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where cargo says that it put a library.
fn library(messages: &str, file: &str) -> Result<PathBuf, String> {
    parsed(messages)
        .filter_map(|message| message["filenames"].as_array().cloned())
        .flatten()
        .filter_map(|path| path.as_str().map(PathBuf::from))
        .find(|path| path.ends_with(file))
        .ok_or_else(|| format!("cargo built no {file}"))
}

fn parsed(messages: &str) -> impl Iterator<Item = Value> {
    let lines = messages.lines();
    lines.filter_map(|line| serde_json::from_str(line).ok())
}

/// Where cargo says that it put a binary; guessing would be wrong where a target triple is configured.
fn executable(messages: &str, name: &str) -> Result<PathBuf, String> {
    parsed(messages)
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| format!("cargo built no {name}"))
}
