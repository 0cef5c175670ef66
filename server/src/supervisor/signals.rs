//! Signals as something to read.
//!
//! They stay blocked for the life of the process, so none can interrupt or kill it; children are started with an empty mask (see
//! [`super::spawn`]).
//!
//! An upgrade execs with them blocked. The kernel keeps the mask and what is pending, setup_new_exec(), fs/exec.c and signal(7), so none is lost between
//! the old program and the new one; only the descriptor is made anew.
//!
//! **Invariant:** no handler runs, ever.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// What the supervisor reacts to.
const WATCHED: [Signal; 5] = [
    Signal::SIGCHLD,
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGUSR2,
];

/// The signals of this process.
#[derive(Debug)]
pub(super) struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Blocks the watched signals and takes them over. MUST be called before another thread exists: a thread that does not block them would
    /// still be killed by them.
    ///
    /// # Errors
    /// The kernel's; or SIGCHLD is ignored, which a process inherits from a careless starter.
    pub(super) fn take() -> io::Result<Self> {
        if sigchld_is_ignored() {
            return Err(io::Error::other(
                "SIGCHLD is ignored, so the kernel would throw away the exit statuses of all children: start stagepagesd through `env --default-signal=CHLD`",
            ));
        }
        let mut watched = SigSet::empty();
        watched.extend(WATCHED);
        watched.thread_block()?;
        Ok(Self {
            fd: SignalFd::with_flags(&watched, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?,
        })
    }

    /// The next signal that came, if any.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn next(&self) -> io::Result<Option<Signal>> {
        let Some(info) = self.fd.read_signal()? else {
            return Ok(None);
        };
        Ok(WATCHED
            .into_iter()
            .find(|signal| u32::try_from(*signal as i32) == Ok(info.ssi_signo)))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// do_notify_parent(), kernel/signal.c lets the children of a parent that ignores SIGCHLD vanish unreaped. Where /proc is missing the usual
/// is assumed.
fn sigchld_is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_signals(&status) & (1 << (Signal::SIGCHLD as i32 - 1)) != 0
}

fn ignored_signals(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_found() {
        let status = "Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000011000\n";
        assert_eq!(ignored_signals(status), 0x11000);
        assert_eq!(ignored_signals("Name:\tx\n"), 0);
        assert!(!sigchld_is_ignored());
    }
}
