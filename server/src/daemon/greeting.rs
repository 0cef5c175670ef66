//! Meeting a launch host: connecting to the right one, and what it says first.
//!
//! A name in the file system proves nothing. The socket's file has to be ours; and whoever answers has to be the process that the supervisor
//! started, which the kernel tells with each of its messages.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::Path,
};

use nix::unistd::geteuid;
use stagepages_host::{
    launch::Snapshot,
    protocol::{self, Outcome},
    wire::SeqSocket,
};

use super::{Answer, HostLink, Told};

/// What a host said in answer to a greeting.
#[derive(Debug)]
pub(super) struct Greeting {
    /// The version that both speak.
    pub(super) version: u32,
    /// Its process, as the kernel told it.
    pub(super) pid: i32,
    /// The record that its launch was created with; empty without a launch.
    pub(super) record: Vec<u8>,
    /// The launch, if it has one.
    pub(super) snapshot: Option<Snapshot>,
}

/// Why a process is not spoken to.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stranger {
    /// Not a greeting.
    #[error("it answers a greeting with {0}")]
    Answer(String),
    /// Another version.
    #[error(
        "it speaks version {0} of the protocol; this daemon speaks {OLDEST} to {NEWEST}",
        OLDEST = protocol::OLDEST_VERSION,
        NEWEST = protocol::VERSION
    )]
    Version(u32),
    /// Another process.
    #[error("process {found:?} answers where process {wanted:?} should")]
    Process {
        /// Who answers; `None` if the kernel does not say.
        found: Option<i32>,
        /// Who should.
        wanted: Option<u32>,
    },
}

impl Greeting {
    /// Reads the answer to a greeting, which MUST come from process `pid`, if that is known.
    pub(super) fn from_answer(answer: Answer, pid: Option<u32>) -> Result<Self, Stranger> {
        let known = is_from(&answer, pid);
        let welcome = match answer.outcome {
            Ok(Outcome::Welcome(welcome)) => welcome,
            Ok(other) => return Err(Stranger::Answer(format!("{other:?}"))),
            Err(refusal) => return Err(Stranger::Answer(refusal.message)),
        };
        let sender = answer.sender.filter(|_| known);
        let Some(sender) = sender else {
            return Err(Stranger::Process {
                found: answer.sender,
                wanted: pid,
            });
        };
        if !(protocol::OLDEST_VERSION..=protocol::VERSION).contains(&welcome.version) {
            return Err(Stranger::Version(welcome.version));
        }
        Ok(Self {
            version: welcome.version,
            pid: sender,
            record: welcome.record,
            snapshot: answer.snapshot,
        })
    }
}

/// Whether the kernel says that process `pid` answered; anyone does where that is not known.
pub(super) fn is_from(answer: &Answer, pid: Option<u32>) -> bool {
    let sender = answer.sender.and_then(|sender| u32::try_from(sender).ok());
    sender.is_some() && (pid.is_none() || sender == pid)
}

/// Connects to a host's socket.
///
/// # Errors
/// The kernel's; `PermissionDenied` for a file that is no socket of ours.
pub(super) fn dial(
    path: &Path,
    told: impl Fn(Told) + Send + Sync + 'static,
) -> io::Result<HostLink> {
    let file = fs::symlink_metadata(path)?;
    if !file.file_type().is_socket() || file.uid() != geteuid().as_raw() {
        let text = format!("{} is not a socket of this user", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    // The socket listens since before the host was started, so this does not wait.
    let socket = SeqSocket::connect(path)?;
    socket.ask_senders()?;
    HostLink::start(socket, told)
}
