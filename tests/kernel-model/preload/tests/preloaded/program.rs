//! `examples/launch.rs`, started with the library preloaded.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use stagepages_kernel_model::{Event, Script};
use tempfile::TempDir;

/// Opens the trace as a shell's `>>` does: for appending, and without close-on-exec.
const WITH_TRACE: &str = r#"exec 9>>"$TRACE" && exec env LD_PRELOAD="$LIBRARY" "$@""#;

/// A program that runs, and its trace.
pub(crate) struct Program {
    child: Child,
    directory: TempDir,
    /// What it has said, up to `done` or to its end.
    pub(crate) lines: Vec<String>,
}

/// How a program ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
    pub(crate) events: Vec<Event>,
}

impl Program {
    /// Starts it on a machine like this, and reads what it says until it is done.
    pub(crate) fn start(script: &Script, args: &[&str]) -> io::Result<Self> {
        Self::start_with(&serde_json::to_string(script)?, args)
    }

    /// The same with a script as it may be written.
    pub(crate) fn start_with(script: &str, args: &[&str]) -> io::Result<Self> {
        Self::run("launch", script, args)
    }

    /// Starts `examples/launch_td.rs`.
    pub(crate) fn start_td(script: &Script, args: &[&str]) -> io::Result<Self> {
        Self::run("launch_td", &serde_json::to_string(script)?, args)
    }

    fn run(example: &str, script: &str, args: &[&str]) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("script.json");
        fs::write(&path, script)?;
        let mut child = Command::new("/bin/sh")
            .args(["-c", WITH_TRACE, "sh"])
            .arg(profile_directory()?.join("examples").join(example))
            .args(args)
            .env("TRACE", directory.path().join("trace"))
            .env("LIBRARY", library()?)
            .env("STAGEPAGES_MODEL", &path)
            .env("STAGEPAGES_MODEL_TRACE", "9")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(directory.path().join("stderr"))?)
            .spawn()?;
        let mut lines = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines() {
                match line? {
                    done if done == "done" => break,
                    line => lines.push(line),
                }
            }
        }
        Ok(Self {
            child,
            directory,
            lines,
        })
    }

    /// What it said of this.
    pub(crate) fn said(&self, name: &str) -> Vec<&str> {
        let prefix = format!("{name} ");
        let lines = self.lines.iter();
        lines
            .filter_map(|line| line.strip_prefix(&prefix))
            .collect()
    }

    /// The guest's memory, as another process finds it.
    pub(crate) fn guest_memory(&self) -> io::Result<File> {
        for entry in fs::read_dir(format!("/proc/{}/fd", self.child.id()))? {
            let path = entry?.path();
            let target = fs::read_link(&path)?;
            if target.to_string_lossy().contains("stagepages-model-gmem") {
                return File::open(path);
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// Lets it end, and reads its trace.
    pub(crate) fn end(mut self) -> io::Result<Ended> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        let read = |name: &str| fs::read_to_string(self.directory.path().join(name));
        Ok(Ended {
            status,
            stderr: read("stderr")?,
            events: Event::parse_all(&read("trace")?).map_err(io::Error::other)?,
        })
    }
}

/// One page of a file.
pub(crate) fn page(file: &File, index: u64) -> io::Result<Vec<u8>> {
    let mut page = vec![0; 4096];
    file.read_exact_at(&mut page, index * 4096)?;
    Ok(page)
}

/// Where cargo puts what it builds with this test's profile.
fn profile_directory() -> io::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let directory = test.ancestors().nth(2).map(Path::to_owned);
    directory.ok_or_else(|| io::Error::other("this test is not where cargo puts tests"))
}

/// The library, built once: cargo builds no cdylib for the tests beside it.
fn library() -> io::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| error.to_string()));
    built.clone().map_err(io::Error::other)
}

fn build() -> io::Result<PathBuf> {
    let directory = profile_directory()?;
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--package",
            env!("CARGO_PKG_NAME"),
            "--lib",
        ])
        .args(["--profile", profile, "--target-dir"])
        .arg(directory.parent().unwrap_or(&directory))
        .status()?;
    if status.success() {
        Ok(directory.join("libstagepages_kernel_preload.so"))
    } else {
        Err(io::Error::other(format!("cargo build: {status}")))
    }
}
