//! The programs that hosts of some platforms run, instead of the built-in one.
//!
//! They come from the supervisor's own configuration, and a daemon can only name a platform: one that was taken over starts nothing that the
//! operator did not choose.
//!
//! **Invariant:** nothing is run to find out.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

/// A configured program that cannot be started.
#[derive(Debug, thiserror::Error)]
#[error(
    "host.{platform}.program {}: {why}; name an executable file by its absolute path, or leave the key out for the built-in host",
    path.display()
)]
pub struct HostProgramError {
    /// Whose hosts.
    pub platform: String,
    /// Its path.
    pub path: PathBuf,
    /// What is wrong.
    pub why: io::Error,
}

/// Whether all of them could be started.
///
/// # Errors
/// The first that could not.
pub fn check_host_programs(programs: &BTreeMap<String, PathBuf>) -> Result<(), HostProgramError> {
    programs.iter().try_for_each(|(platform, path)| {
        check(path).map_err(|why| HostProgramError {
            platform: platform.clone(),
            path: path.clone(),
            why,
        })
    })
}

fn check(path: &Path) -> io::Result<()> {
    if !path.is_absolute() {
        return Err(io::Error::other("not an absolute path"));
    }
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    Ok(access(path, AccessFlags::X_OK)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &str) -> Option<String> {
        let programs = BTreeMap::from([("kvm".to_owned(), PathBuf::from(path))]);
        check_host_programs(&programs)
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn what_cannot_be_started_is_refused_by_key_value_and_cause() {
        assert_eq!(refusal("/bin/sh"), None);
        for (path, why) in [
            ("bin/sh", "not an absolute path"),
            ("/bin", "not a file"),
            ("/nowhere/vmm", "No such file"),
            ("/proc/version", "Permission denied"),
        ] {
            let told = refusal(path).unwrap();
            let start = format!("host.kvm.program {path}: {why}");
            assert!(told.starts_with(&start), "{told}");
            assert!(told.contains("built-in host"), "{told}");
        }
    }
}
