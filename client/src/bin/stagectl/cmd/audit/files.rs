//! The files of an audit log, in the order of their records.
//!
//! **Invariant:** a file that goes while a directory is read is an error, and never passed over.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use crate::failure::Failure;

/// The file that is written.
const CURRENT: &str = "audit.jsonl";

/// What was named, each directory replaced by the files of the log in it.
pub(super) fn of(named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in named {
        if path.is_dir() {
            files.extend(in_directory(path)?);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// Full files have the number of their last record in their names, with leading zeros.
fn in_directory(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: io::Error| unreadable(dir, &error);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("audit-") && name.ends_with(".jsonl") {
            names.push(name.into_owned());
        }
    }
    names.sort_unstable();
    let mut files: Vec<_> = names.iter().map(|name| dir.join(name)).collect();
    let current = dir.join(CURRENT);
    if current.exists() {
        files.push(current);
    }
    if files.is_empty() {
        return Err(Failure::new(
            format!("there is no audit log in {}", dir.display()),
            "name the daemon's audit_dir, by default audit in its state_dir, as a user who may read it",
        ));
    }
    Ok(files)
}

/// Has a file read.
pub(super) fn read(
    path: &Path,
    take: impl FnOnce(&mut dyn BufRead) -> io::Result<()>,
) -> Result<(), Failure> {
    let open = || {
        let file = File::open(path)?;
        take(&mut BufReader::new(file))
    };
    open().map_err(|error: io::Error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        format!("cannot read {}: {error}", path.display()),
        "read it as the daemon's user or as root: nobody else may",
    )
}
