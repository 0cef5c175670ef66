//! How a process ended.
//!
//! **Invariant:** nothing is folded: a code stays a code, a signal stays its number, real-time ones too, and what nobody saw is not guessed.

use std::fmt;

use nix::sys::signal::Signal;
use rustix::process::WaitIdStatus;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It returned this, 0 to 255.
    Code(i32),
    /// A signal killed it.
    Signal {
        /// The signal's number.
        signal: i32,
        /// Whether it left a core dump.
        core_dumped: bool,
    },
    /// Nobody could see: it was adopted, so another process was its parent, and took the status or died before it.
    Unknown,
}

/// How a host ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostExit {
    /// The process id that it had.
    pub pid: u32,
    /// How.
    pub status: ExitStatus,
}

impl ExitStatus {
    /// Reads the status word of wait(2); `None` for a process that has not ended.
    #[must_use]
    pub fn from_wait(word: i32) -> Option<Self> {
        const STOPPED: i32 = 0x7f;
        const CORE: i32 = 0x80;
        match word & 0x7f {
            0 => Some(Self::Code((word >> 8) & 0xff)),
            STOPPED => None,
            signal => Some(Self::Signal {
                signal,
                core_dumped: word & CORE != 0,
            }),
        }
    }

    /// Reads what waitid(2) tells of a process that ended.
    #[must_use]
    pub fn from_waitid(status: &WaitIdStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal {
                signal,
                core_dumped: status.dumped(),
            },
            (None, None) => Self::Unknown,
        }
    }

    /// What it returned, unless a signal killed it.
    #[must_use]
    pub fn code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            Self::Signal { .. } | Self::Unknown => None,
        }
    }

    /// The signal that killed it.
    #[must_use]
    pub fn signal(self) -> Option<i32> {
        match self {
            Self::Code(_) | Self::Unknown => None,
            Self::Signal { signal, .. } => Some(signal),
        }
    }

    /// What a shell would make of it: the code, or 128 and the signal; 255 for what nobody saw.
    #[must_use]
    pub fn shell_code(self) -> u8 {
        let code = match self {
            Self::Code(code) => code,
            Self::Signal { signal, .. } => 128 + signal,
            Self::Unknown => 255,
        };
        u8::try_from(code).unwrap_or(u8::MAX)
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal {
                signal,
                core_dumped,
            } => {
                write!(f, "killed by signal {signal}")?;
                if let Ok(name) = Signal::try_from(*signal) {
                    write!(f, " ({name})")?;
                }
                if *signal == Signal::SIGSYS as i32 {
                    f.write_str(": its sandbox does not allow a system call that it made")?;
                }
                f.write_str(if *core_dumped { ", core dumped" } else { "" })
            }
            Self::Unknown => f.write_str("ended in a way nobody could see"),
        }
    }
}

impl HostExit {
    /// See [`ExitStatus::code`].
    #[must_use]
    pub fn code(self) -> Option<i32> {
        self.status.code()
    }

    /// See [`ExitStatus::signal`].
    #[must_use]
    pub fn signal(self) -> Option<i32> {
        self.status.signal()
    }
}

impl fmt::Display for HostExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_statuses_are_read_exactly() {
        let from_wait = ExitStatus::from_wait;
        let signal = |signal, core_dumped| {
            Some(ExitStatus::Signal {
                signal,
                core_dumped,
            })
        };
        assert_eq!(from_wait(0), Some(ExitStatus::Code(0)));
        assert_eq!(from_wait(0x2a00), Some(ExitStatus::Code(42)));
        assert_eq!(from_wait(9), signal(9, false));
        assert_eq!(from_wait(11 | 0x80), signal(11, true));
        assert_eq!(from_wait(37), signal(37, false), "a real-time signal");
        assert_eq!(from_wait(0x137f), None, "stopped");
        assert_eq!(from_wait(0xffff), None, "continued");
    }

    #[test]
    fn a_status_reads_like_a_shells() {
        let killed = ExitStatus::Signal {
            signal: 11,
            core_dumped: true,
        };
        assert_eq!(killed.shell_code(), 139);
        assert_eq!(
            killed.to_string(),
            "killed by signal 11 (SIGSEGV), core dumped"
        );
        let confined = ExitStatus::Signal {
            signal: 31,
            core_dumped: false,
        };
        assert_eq!(
            confined.to_string(),
            "killed by signal 31 (SIGSYS): its sandbox does not allow a system call that it made"
        );
        assert_eq!(ExitStatus::Code(3).shell_code(), 3);
        assert_eq!(ExitStatus::Code(3).to_string(), "exited with code 3");
    }
}
