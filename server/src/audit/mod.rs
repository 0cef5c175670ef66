//! The audit log, as the daemon writes it. What a record says and how the chain is verified is in the crate `stagepages-audit`, and for operators in
//! deploy/AUDIT.md.
//!
//! ```text
//!  handlers ── who: whose call this is
//!  net::call ─▶ refusals ─┐
//!  launches ─▶ launches ──┼─▶ Audit ─▶ queue ─▶ log (files, chain) ─▶ place (directory)
//!  images, daemon ────────┘              └ limiter: refused calls of one caller, and of all
//! ```
//!
//! A launch is created only if that is in the log: whoever creates one waits for the disk, and is refused while nothing can be written. Everything else goes on
//! without waiting, and is written when it can be.
//!
//! **Invariant:** no record has page contents, and nothing but the thread of this module touches the log's files after the start.

use std::{
    collections::HashMap,
    error::Error,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc::sync_channel},
    thread,
    time::Duration,
};

use stagepages_audit::{Daemon, Entry, Event, Files, Image, OK, UNUSABLE};
use stagepages_images::ImageDigest;

mod known;
mod launches;
mod limiter;
mod log;
mod place;
mod queue;
mod recent;
mod refusals;
#[cfg(test)]
mod tests;
mod who;

pub use known::States;
pub use launches::{Asked, Told, created, follow};
pub use recent::{Recent, Refused};
pub use refusals::{mutates, refused, watched};
pub use who::{Call, carried, current, let_in, page_refused, within};

use crate::{auth::Tenant, daemon::Writing, rpc::status::printable};

/// How long who creates a launch waits for the disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most of a file's path, and of what is wrong with it, in bytes.
const FILE_TEXT: usize = 1024;

/// How much a log keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Files.
    pub files: usize,
}

/// A way to the audit log. Clones lead to the same.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    /// `None` where there is none.
    log: Option<Arc<Open>>,
    /// Remembered whether or not there is a log.
    recent: Recent,
}

#[derive(Debug)]
struct Open {
    shared: Arc<queue::Shared>,
    /// What the log told of launches when it was opened; taken by who adopts them.
    known: Mutex<HashMap<String, States>>,
}

/// Why a record is not known to be in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unwritten {
    /// It is not there.
    #[error("the audit log cannot be written: {0}")]
    Failed(String),
    /// The disk does not answer; it may be there later.
    #[error("the audit log is not written within {} s", PATIENCE.as_secs())]
    Slow,
}

/// Tells something about an image, by the caller who is served here.
pub fn image(event: Event, digest: ImageDigest, size: Option<u64>) {
    if let Some(Call { audit, .. }) = current() {
        audit.image(event, digest, size);
    }
}

/// Tells that the caller who is served here gave an image to another tenant.
pub fn granted(digest: ImageDigest, to: &Tenant) {
    if let Some(call) = current() {
        call.audit.tell(Entry {
            who: Some(call.who()),
            image: Some(Image {
                digest: digest.to_string(),
                granted_to: to.as_str().to_owned(),
                ..Image::default()
            }),
            ..Entry::new(Event::ImageGranted)
        });
    }
}

/// An error with its causes.
fn words(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    printable(&text, FILE_TEXT)
}

impl Audit {
    /// No log: everything that is told is forgotten.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Opens the log in `dir`, and starts the thread that writes it. The daemon `daemon` begins.
    ///
    /// # Errors
    /// Something there is not ours, or cannot be read.
    pub fn open(dir: &Path, limits: Limits, daemon: Daemon) -> io::Result<(Self, Writing)> {
        let limits = log::Limits {
            file_bytes: limits.file_bytes,
            files: limits.files,
        };
        let log = log::Log::open(dir, limits)?;
        let known = known::read(log.place())?;
        let shared = Arc::new(queue::Shared::default());
        let (alive, ended) = sync_channel(1);
        let worker = Arc::clone(&shared);
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || worker.work(log, &alive))?;
        let audit = Self {
            log: Some(Arc::new(Open {
                shared,
                known: Mutex::new(known),
            })),
            recent: Recent::default(),
        };
        audit.tell(Entry {
            daemon: Some(daemon),
            ..Entry::new(Event::DaemonStarted)
        });
        Ok((audit, Writing::of(ended)))
    }

    /// Tells what happened. It is written when it can be; nobody waits for that.
    pub fn tell(&self, entry: Entry) {
        if let Some(open) = &self.log {
            open.shared.tell(entry);
        }
    }

    /// Tells something about an image, by the caller who is served here, if one is.
    pub fn image(&self, event: Event, digest: ImageDigest, size: Option<u64>) {
        self.tell(Entry {
            who: current().map(|call| call.who()),
            image: Some(Image {
                digest: digest.to_string(),
                size,
                ..Image::default()
            }),
            ..Entry::new(event)
        });
    }

    /// Tells that files were read again which belong together, and are in use since, or why they cannot be.
    pub fn read_again(&self, event: Event, paths: &[PathBuf], done: Result<(), &dyn Error>) {
        let paths = paths
            .iter()
            .map(|path| printable(&path.to_string_lossy(), FILE_TEXT));
        let files = Files {
            paths: paths.collect(),
            cause: done.err().map_or_else(String::new, words),
        };
        let outcome = if done.is_ok() { OK } else { UNUSABLE };
        self.tell(Entry {
            outcome: outcome.to_owned(),
            files: Some(files),
            ..Entry::new(event)
        });
    }

    /// Tells something about the daemon itself.
    pub fn daemon(&self, event: Event) {
        self.tell(Entry::new(event));
    }

    /// Whether records can be written, as far as is known.
    ///
    /// # Errors
    /// They cannot.
    pub fn writable(&self) -> Result<(), Unwritten> {
        match &self.log {
            Some(open) if !open.shared.is_writable() => {
                Err(Unwritten::Failed("the last try failed".to_owned()))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Tells what happened, and returns when that is on the disk.
    ///
    /// # Errors
    /// It is not, or not known to be.
    pub async fn make_sure(&self, entry: Entry) -> Result<(), Unwritten> {
        let Some(open) = &self.log else { return Ok(()) };
        self.writable()?;
        let done = open.shared.make_sure(entry);
        match tokio::time::timeout(PATIENCE, done).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(why))) => Err(Unwritten::Failed(why)),
            Ok(Err(_gone)) => Err(Unwritten::Failed("its thread is gone".to_owned())),
            Err(_elapsed) => Err(Unwritten::Slow),
        }
    }

    /// Which states of the launch `uid` the log had when it was opened.
    #[must_use]
    pub fn known(&self, uid: &str) -> States {
        let Some(open) = &self.log else {
            return States::default();
        };
        let known = open.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(uid).copied().unwrap_or_default()
    }

    /// Nothing is told any more: what waits is written, and the thread ends.
    pub fn close(&self) {
        if let Some(open) = &self.log {
            open.shared.close();
        }
    }

    /// Calls that were refused of late.
    #[must_use]
    pub fn recent(&self) -> &Recent {
        &self.recent
    }

    fn refuse(&self, entry: Entry) {
        if let Some(open) = &self.log {
            open.shared.refused(entry);
        }
    }
}
