//! Why an installation stopped.
//!
//! **Invariant:** prints no page contents.

use std::{fmt, io};

use stagepages_kvm::{Gfn, KvmError};

/// Why an installation stopped at a page. That page is not installed.
pub enum Stop {
    /// The kernel asked to try again: nothing is in doubt.
    Again(KvmError),
    /// Firmware refused the page ([`KvmError::Firmware`]) and the kernel took it back: nothing is in doubt.
    Firmware(KvmError),
    /// Firmware would have the CPUID page otherwise, and the kernel took it back.
    CpuidRejected {
        /// The refusal.
        error: KvmError,
        /// The page as it was submitted, 4096 bytes.
        submitted: Box<[u8]>,
        /// The page as firmware would have it, 4096 bytes.
        corrected: Box<[u8]>,
    },
    /// The kernel refused for a cause that may leave the page in doubt. `known` says what is known of the cause beyond the error, for a person.
    Kernel {
        /// The refusal.
        error: KvmError,
        /// For example which causes can be ruled out; may be empty.
        known: String,
    },
    /// The page exists although nobody installed it through this host.
    Stray {
        /// The page.
        gfn: Gfn,
        /// How the kernel said so, if it was asked to install it.
        error: Option<KvmError>,
    },
    /// The source could not be read, or was shorter than promised, before the kernel was asked for a page of this chunk: nothing is in doubt.
    Unread(io::Error),
    /// The source could not be read, or was shorter than promised; the page may exist and hold anything.
    Source(io::Error),
}

impl Stop {
    /// The page at `gfn` was seen to exist before the kernel was asked.
    #[must_use]
    pub fn stray(gfn: Gfn) -> Self {
        Self::Stray { gfn, error: None }
    }

    /// A refusal of whose cause something is known beyond the error, in `words`; there may be none.
    #[must_use]
    pub fn known(error: KvmError, words: &str) -> Self {
        Self::Kernel {
            error,
            known: words.to_owned(),
        }
    }

    /// What the kernel said, if it was asked.
    #[must_use]
    pub fn error(&self) -> Option<&KvmError> {
        match self {
            Self::Again(error)
            | Self::Firmware(error)
            | Self::CpuidRejected { error, .. }
            | Self::Kernel { error, .. } => Some(error),
            Self::Stray { error, .. } => error.as_ref(),
            Self::Unread(_) | Self::Source(_) => None,
        }
    }
}

impl From<KvmError> for Stop {
    /// A refusal of whose cause no more is known.
    fn from(error: KvmError) -> Self {
        Self::known(error, "")
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Again(error) => f.debug_tuple("Again").field(error).finish(),
            Self::Firmware(error) => f.debug_tuple("Firmware").field(error).finish(),
            Self::CpuidRejected { error, .. } => f
                .debug_struct("CpuidRejected")
                .field("error", error)
                .finish_non_exhaustive(),
            Self::Kernel { error, known } => f
                .debug_struct("Kernel")
                .field("error", error)
                .field("known", known)
                .finish(),
            Self::Stray { gfn, error } => f
                .debug_struct("Stray")
                .field("gfn", gfn)
                .field("error", error)
                .finish(),
            Self::Unread(error) => f.debug_tuple("Unread").field(error).finish(),
            Self::Source(error) => f.debug_tuple("Source").field(error).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_page_is_not_printed() {
        let page = || vec![0xa5; 4096].into_boxed_slice();
        let stop = Stop::CpuidRejected {
            error: KvmError::from_errno("op", 5),
            submitted: page(),
            corrected: page(),
        };
        let printed = format!("{stop:?}");
        assert!(
            printed.starts_with("CpuidRejected { error: Kernel"),
            "{printed}"
        );
        assert!(!printed.contains("165"), "{printed}");
        assert!(printed.len() < 200, "{printed}");
    }
}
