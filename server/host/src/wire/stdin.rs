//! The socket that a child is born with.
//!
//! **Invariant:** descriptor 0 is never closed, so nothing that the process opens later can land there.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Takes what standard input is, and leaves /dev/null in its place. The supervisor hands its children their private socket this way: it
/// needs no agreed number, no environment variable and no code between fork and exec.
///
/// # Errors
/// The kernel's; standard input is unchanged then.
pub fn take_stdin() -> io::Result<OwnedFd> {
    let null = File::open("/dev/null")?;
    let taken = io::stdin().as_fd().try_clone_to_owned()?;
    nix::unistd::dup2_stdin(null)?;
    Ok(taken)
}
