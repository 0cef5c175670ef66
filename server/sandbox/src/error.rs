//! Why a process could not be confined.

use std::io;

use crate::Missing;

/// A step that the kernel refused, although it knows it.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A system call.
    #[error("cannot confine this process: {step}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The rules of files and ports.
    #[error("cannot confine this process by Landlock")]
    Landlock(#[from] landlock::RulesetError),
    /// The filter of system calls.
    #[error("cannot confine this process by seccomp")]
    Seccomp(#[from] seccompiler::Error),
    /// The filter cannot be made for this processor.
    #[error("cannot make a filter of system calls")]
    Filter(#[from] seccompiler::BackendError),
    /// The kernel lacks something that was asked for.
    #[error("the sandbox lacks {0}; set sandbox = \"on\" to go on without")]
    Missing(String),
}

impl SandboxError {
    /// The error that these are where nothing may be missing.
    ///
    /// # Errors
    /// [`Self::Missing`], unless there are none.
    pub fn if_missing(missing: &[Missing]) -> Result<(), Self> {
        if missing.is_empty() {
            return Ok(());
        }
        let all: Vec<_> = missing.iter().map(ToString::to_string).collect();
        Err(Self::Missing(all.join("; ")))
    }

    /// For `map_err`: what was tried.
    pub(crate) fn step<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Step {
            step,
            source: error.into(),
        }
    }

    /// Whether the kernel does not know the call at all.
    pub(crate) fn is_absent(&self) -> bool {
        let Self::Seccomp(seccompiler::Error::Seccomp(error)) = self else {
            return false;
        };
        matches!(
            error.raw_os_error(),
            Some(libc::ENOSYS | libc::EINVAL | libc::EOPNOTSUPP)
        )
    }
}
