//! Defaults that depend on the user and the machine, as pure functions of both.
//!
//! **Invariant:** nothing is created here, and relative XDG directories are ignored, as their specification asks.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use super::values::MAX_MEMORY_BYTES;

pub(super) const GRACE: Duration = Duration::from_secs(30);

pub(super) fn runtime_dir(variable: impl Fn(&str) -> Option<OsString>, uid: u32) -> PathBuf {
    match (absolute(variable("XDG_RUNTIME_DIR")), uid) {
        (Some(dir), _) => dir.join("stagepages"),
        (None, 0) => PathBuf::from("/run/stagepages"),
        (None, uid) => PathBuf::from(format!("/tmp/stagepages-{uid}")),
    }
}

/// None where there is no home directory.
pub(super) fn state_dir(variable: impl Fn(&str) -> Option<OsString>, uid: u32) -> Option<PathBuf> {
    match (absolute(variable("XDG_STATE_HOME")), uid) {
        (Some(dir), _) => Some(dir.join("stagepages")),
        (None, 0) => Some(PathBuf::from("/var/lib/stagepages")),
        (None, _) => Some(absolute(variable("HOME"))?.join(".local/state/stagepages")),
    }
}

/// Twice the machine's memory: an empty region costs page tables and struct pages even if nothing is staged into it, and no
/// more than that can sensibly be reserved for one launch.
pub(super) fn max_memory_bytes(memory_bytes: u64) -> u64 {
    memory_bytes.saturating_mul(2).min(MAX_MEMORY_BYTES)
}

fn absolute(value: Option<OsString>) -> Option<PathBuf> {
    value.map(PathBuf::from).filter(|path| path.is_absolute())
}
