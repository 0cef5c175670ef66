//! Directories for bytes that must not touch a disk: on a tmpfs, and gone with their owner.
//!
//! **Invariant:** whatever a figure makes in one is removed with it.

use stagepages_tests::DaemonOptions;
use tempfile::TempDir;

/// A tmpfs on every Linux that has POSIX shared memory.
const TMPFS: &str = "/dev/shm";

/// A new directory on a tmpfs.
pub(crate) fn directory() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder
        .prefix("stagepages-bench-")
        .tempdir_in(TMPFS)
        .unwrap()
}

/// A daemon that keeps its state there, and so its images.
pub(crate) fn daemon(dir: &TempDir) -> DaemonOptions {
    DaemonOptions::new().state_dir(&dir.path().join("state"))
}
