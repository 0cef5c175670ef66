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

/// Names a directory that holds all of them already, so that nothing is built.
const BIN_DIR: &str = "STAGEPAGES_BIN_DIR";

/// The library that puts a model of the kernel beneath a program.
const MODEL: &str = "libstagepages_kernel_preload.so";

/// The library that plays an intruder.
const INTRUDER: &str = "libstagepages_intruder.so";

/// As `cargo test --workspace` builds them, which therefore has them already: of other packages, or without what tests need, each
/// dependency would have other features, and be compiled once more. No package has examples; who asks for them is given those features.
const AS_TESTED: [&str; 4] = ["--workspace", "--lib", "--bins", "--examples"];

/// As they are released.
const AS_RELEASED: [&str; 4] = [
    "--bins",
    "--package=stagepages-server",
    "--package=stagepages-client",
    "--package=stagepages-node-agent",
];

/// Where the binaries are.
#[derive(Debug)]
pub struct Binaries {
    /// Supervisor, daemon and launch host.
    pub stagepagesd: PathBuf,
    /// The operator's tool.
    pub stagectl: PathBuf,
}

/// Where everything is.
enum Built {
    /// In one directory.
    In(PathBuf),
    /// Where cargo says.
    Cargo(String),
}

/// The node agent, built by the first call.
///
/// # Panics
/// As [`binaries`].
pub fn node_agent() -> &'static Path {
    static AGENT: OnceLock<PathBuf> = OnceLock::new();
    AGENT.get_or_init(|| executable("stagepages-node-agent"))
}

/// The library that puts a model of the kernel beneath a program, built by the first call.
///
/// # Panics
/// As [`binaries`].
pub(crate) fn model_library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| library(MODEL))
}

/// The library that plays somebody who has taken a process over, built by the first call.
///
/// # Panics
/// As [`binaries`].
pub fn intruder_library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| library(INTRUDER))
}

/// The binaries, built by the first call.
///
/// # Panics
/// If they cannot be built, or are not where the environment says; the first failure is every later call's too, so that a broken tree is
/// built once and not once a test.
pub fn binaries() -> &'static Binaries {
    static BINARIES: OnceLock<Binaries> = OnceLock::new();
    BINARIES.get_or_init(|| Binaries {
        stagepagesd: executable("stagepagesd"),
        stagectl: executable("stagectl"),
    })
}

/// Where cargo says that it put a binary; guessing would be wrong where a target triple is configured.
fn executable(name: &str) -> PathBuf {
    let found = match built() {
        Built::In(dir) => Some(dir.join(name)),
        Built::Cargo(messages) => parsed(messages)
            .filter(|message| message["target"]["name"] == name)
            .find_map(|message| message["executable"].as_str().map(PathBuf::from)),
    };
    there(found, name)
}

/// Where cargo says that it put a library.
fn library(file: &str) -> PathBuf {
    let found = match built() {
        Built::In(dir) => Some(dir.join(file)),
        Built::Cargo(messages) => parsed(messages)
            .filter_map(|message| message["filenames"].as_array().cloned())
            .flatten()
            .filter_map(|path| path.as_str().map(PathBuf::from))
            .find(|path| path.ends_with(file)),
    };
    there(found, file)
}

fn there(found: Option<PathBuf>, name: &str) -> PathBuf {
    let found = found.unwrap_or_else(|| panic!("cargo built no {name}"));
    assert!(found.is_file(), "{} is not there", found.display());
    found
}

fn parsed(messages: &str) -> impl Iterator<Item = Value> {
    let lines = messages.lines();
    lines.filter_map(|line| serde_json::from_str(line).ok())
}

fn built() -> &'static Built {
    static BUILT: OnceLock<Result<Built, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| match std::env::var_os(BIN_DIR) {
        Some(dir) => {
            let dir = PathBuf::from(dir);
            say(&format!("using the binaries in {}", dir.display()));
            Ok(Built::In(dir))
        }
        None => build().map(Built::Cargo),
    });
    built.as_ref().unwrap_or_else(|error| panic!("{error}"))
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

/// Builds them all, and returns what cargo says.
fn build() -> Result<String, String> {
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
    let what = if profile == "dev" {
        AS_TESTED
    } else {
        AS_RELEASED
    };
    say(&format!(
        "building the binaries, profile {profile}, into {}",
        target_dir.display()
    ));

    let output = cargo()
        .arg("build")
        .args(what)
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
            "cargo could not build the binaries: {}",
            output.status
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
