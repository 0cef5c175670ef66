//! What a supervisor leaves to the program that takes its place, and how.
//!
//! **Invariant:** what one build writes, the next one reads: fields are added and never change their meaning, and a change that an older reader would
//! misread takes a new [`STATE_VERSION`], which the next program is asked about before anything is given up.

mod parcel;
mod state;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::unistd::dup2_stdin;
use prost::Message;
use stagepages_host::wire::take_stdin;

pub(super) use state::{HeldConnection, HeldDaemon, HeldFrame, HeldHost, HeldSocket, State};

/// The version of [`State`] that this build writes.
pub(super) const STATE_VERSION: u32 = 1;
/// The oldest that it reads.
pub(super) const OLDEST_STATE_VERSION: u32 = 1;

/// Why a supervisor cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// There is nothing to go on with.
    #[error(
        "standard input has no supervisor's state: --take-over is how a supervisor starts its successor, use serve without it"
    )]
    Missing(#[source] io::Error),
    /// Not what a supervisor writes.
    #[error("the supervisor's state cannot be read")]
    Malformed(#[from] prost::DecodeError),
    /// Another build's.
    #[error(
        "the supervisor's state has version {theirs}, and this build reads {OLDEST_STATE_VERSION} to {STATE_VERSION}"
    )]
    Version {
        /// Its version.
        theirs: u32,
    },
    /// A part of it makes no sense.
    #[error("the supervisor's state has no valid {0}")]
    Invalid(&'static str),
}

/// What was handed over.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) state: State,
    fds: Vec<Option<OwnedFd>>,
}

/// Descriptors on their way, by number.
#[derive(Debug, Default)]
pub(super) struct Luggage<'a> {
    fds: Vec<BorrowedFd<'a>>,
}

impl<'a> Luggage<'a> {
    /// Adds one; its number finds it again in [`Handed::take`].
    pub(super) fn put(&mut self, fd: BorrowedFd<'a>) -> u32 {
        let number = u32::try_from(self.fds.len()).unwrap_or(u32::MAX);
        self.fds.push(fd);
        number
    }
}

impl Handed {
    /// Takes a descriptor out.
    pub(super) fn take(&mut self, number: u32) -> Option<OwnedFd> {
        self.fds.get_mut(usize::try_from(number).ok()?)?.take()
    }
}

/// Puts `state` and `luggage` on standard input while `exec` is tried. Returns only if that failed, with everything as it was.
pub(super) fn hand_over(
    state: &State,
    luggage: &Luggage<'_>,
    exec: impl FnOnce() -> io::Error,
) -> io::Error {
    let stdin = io::stdin();
    let attempt = || -> io::Result<io::Error> {
        let before = stdin.as_fd().try_clone_to_owned()?;
        let fds: Vec<_> = luggage
            .fds
            .iter()
            .copied()
            .chain([before.as_fd()])
            .collect();
        let packed = parcel::pack(&state.encode_to_vec(), &fds)?;
        dup2_stdin(&packed.theirs)?;
        let error = exec();
        dup2_stdin(&before)?;
        Ok(error)
    };
    match attempt() {
        Ok(error) | Err(error) => error,
    }
}

/// Takes from standard input what was handed over, and gives it back what it was.
pub(super) fn receive() -> Result<Handed, HandoverError> {
    let socket = take_stdin().map_err(HandoverError::Missing)?;
    let (bytes, mut fds) = parcel::open(&socket).map_err(HandoverError::Missing)?;
    if let Some(stdin) = fds.pop() {
        dup2_stdin(&stdin).map_err(|errno| HandoverError::Missing(errno.into()))?;
    }
    let state = State::decode(bytes.as_slice())?;
    reads(state.version)?;
    Ok(Handed {
        state,
        fds: fds.into_iter().map(Some).collect(),
    })
}

/// Whether this build can go on from a state of this version.
pub(super) fn reads(version: u32) -> Result<(), HandoverError> {
    if (OLDEST_STATE_VERSION..=STATE_VERSION).contains(&version) {
        Ok(())
    } else {
        Err(HandoverError::Version { theirs: version })
    }
}
