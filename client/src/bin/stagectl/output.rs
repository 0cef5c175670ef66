//! Where a command's document goes: standard output, as text for people or as JSON.
//!
//! **Invariant:** one document per command, written whole, or for a command that follows something one a line; a reader that has gone
//! away ends it quietly.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

use clap::ValueEnum;
use serde::Serialize;
use stagepages_client::plain;

/// The form of a command's document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Text for people
    Human,
    /// One JSON document
    Json,
}

impl Output {
    /// Writes `document`, which is both forms at once.
    pub(crate) fn document(self, document: &(impl Display + Serialize)) -> io::Result<()> {
        match self {
            Self::Human => raw(format!("{document}\n").as_bytes()),
            Self::Json => self.json(document),
        }
    }

    /// Writes `document` as one line, for a command that follows something.
    pub(crate) fn line(self, document: &(impl Display + Serialize)) -> io::Result<()> {
        match self {
            Self::Human => raw(format!("{document}\n").as_bytes()),
            Self::Json => {
                let mut bytes = serde_json::to_vec(document).map_err(io::Error::other)?;
                bytes.push(b'\n');
                raw(&bytes)
            }
        }
    }

    /// Writes `document` if JSON is asked for; people are told otherwise.
    pub(crate) fn json(self, document: &impl Serialize) -> io::Result<()> {
        if self == Self::Human {
            return Ok(());
        }
        let mut bytes = serde_json::to_vec_pretty(document).map_err(io::Error::other)?;
        bytes.push(b'\n');
        raw(&bytes)
    }

    /// Tells people, on standard error, what goes otherwise than they may expect, and goes well all the same.
    pub(crate) fn notice(self, text: &str) {
        // If it cannot be shown, nothing is lost: the document tells it too.
        drop(writeln!(io::stderr().lock(), "note: {}", plain(text)));
    }

    /// Whether somebody watches: progress is for people at a terminal.
    pub(crate) fn is_watched(self) -> bool {
        self == Self::Human && io::stderr().is_terminal()
    }
}

/// Writes bytes to standard output.
pub(crate) fn raw(bytes: &[u8]) -> io::Result<()> {
    // `stagectl … | head`: the reader has what it wanted.
    while_read(bytes).map(drop)
}

/// Writes bytes to standard output, for a command that goes on for long: false if nobody reads it any more.
pub(crate) fn while_read(bytes: &[u8]) -> io::Result<bool> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}
