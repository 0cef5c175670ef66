//! Limits of a process.
//!
//! `RLIMIT_NPROC` counts all processes of a user and so would let one launch starve another; `RLIMIT_FSIZE` would hold for the log that standard
//! error may be, and for the memory files that guests live in. Neither is set.
//!
//! **Invariant:** a limit is raised only where the process could do without it before: root was never held to `RLIMIT_MEMLOCK`.

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

use crate::SandboxError;

/// No core, also where the kernel pipes cores to a program: that looks at whether the process is dumpable.
pub(crate) fn no_core() -> Result<(), SandboxError> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(SandboxError::step("set RLIMIT_CORE"))
}

/// At most `most` descriptors from now on.
pub(crate) fn open_files(most: u64) -> Result<(), SandboxError> {
    let step = "lower RLIMIT_NOFILE";
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(SandboxError::step(step))?;
    let most = hard.min(most);
    setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(SandboxError::step(step))
}

/// Makes up for `CAP_IPC_LOCK`, which is about to go. A container's root may lack what it takes, and then has the limit that it was given.
pub(crate) fn keep_locked_memory() {
    setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).ok();
}
