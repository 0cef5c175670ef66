//! Why a launch host ended by itself.

/// How [`run`](super::run) ended. The daemon sees it as the process's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Its launch is over, and a daemon knows all about it.
    Over,
    /// It had no launch, and no daemon.
    Unwanted,
    /// No daemon spoke to it for as long as its launch's lease.
    LeaseExpired,
}

impl Ended {
    /// The exit code that tells it.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Over | Self::Unwanted => 0,
            Self::LeaseExpired => 64,
        }
    }

    /// What an exit code tells; `None` for one that is none of these.
    #[must_use]
    pub fn from_exit_code(code: i32) -> Option<Self> {
        match code {
            0 => Some(Self::Over),
            64 => Some(Self::LeaseExpired),
            _ => None,
        }
    }
}
