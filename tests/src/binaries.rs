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

/// Names a directory that holds `stagepagesd` and `stagectl` already, so that nothing is built.
const BIN_DIR: &str = "STAGEPAGES_BIN_DIR";

/// Where the binaries are.
#[derive(Debug)]
pub struct Binaries {
    /// Supervisor, daemon and launch host.
    pub stagepagesd: PathBuf,
    /// The operator's tool.
    pub stagectl: PathBuf,
}

/// The binaries, built by the first call.
///
/// # Panics
/// If they cannot be built.
pub fn binaries() -> &'static Binaries {
    static BINARIES: OnceLock<Binaries> = OnceLock::new();
    BINARIES.get_or_init(|| match std::env::var_os(BIN_DIR) {
        Some(dir) => in_directory(Path::new(&dir)),
        None => build(),
    })
}

fn in_directory(dir: &Path) -> Binaries {
    println!("harness: using the binaries in {}", dir.display());
    let found = Binaries {
        stagepagesd: dir.join("stagepagesd"),
        stagectl: dir.join("stagectl"),
    };
    for path in [&found.stagepagesd, &found.stagectl] {
        assert!(
            path.is_file(),
            "{BIN_DIR} is set, but {} is not there",
            path.display()
        );
    }
    found
}

fn build() -> Binaries {
    // <target directory>/<profile's directory>/deps/<this test>
    let test = std::env::current_exe().expect("own path");
    let profile_dir = test
        .ancestors()
        .nth(2)
        .expect("cargo puts tests two levels deep");
    let target_dir = profile_dir
        .parent()
        .expect("cargo puts profiles into the target directory");
    let profile = match profile_dir
        .file_name()
        .and_then(|name| name.to_str())
        .expect("profiles have ASCII names")
    {
        "debug" => "dev",
        other => other,
    };
    println!(
        "harness: building stagepagesd and stagectl, profile {profile}, into {}",
        target_dir.display()
    );

    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "build",
            "--package",
            "stagepages-server",
            "--package",
            "stagepages-client",
            "--bins",
        ])
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
        .expect("cargo starts");
    assert!(
        output.status.success(),
        "cargo could not build the binaries: {}",
        output.status
    );

    // Cargo says where it put them; guessing would be wrong where a target triple is configured.
    let messages = String::from_utf8(output.stdout).expect("cargo speaks UTF-8");
    let executable = |name: &str| {
        messages
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|message| message["target"]["name"] == name)
            .find_map(|message| message["executable"].as_str().map(PathBuf::from))
            .unwrap_or_else(|| panic!("cargo built no {name}"))
    };
    Binaries {
        stagepagesd: executable("stagepagesd"),
        stagectl: executable("stagectl"),
    }
}
