//! The ledgers that a daemon keeps: who waits for the disk, for how long, and how many at a time.
//!
//! **Invariant:** no call touches a file but on the threads for files, and what is read does not wait for what is written.

use std::{collections::BTreeSet, io, path::Path, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{draft::Draft, format::Note, kept, kept::Kept, shelf::Shelf};
use crate::daemon::{Writing, files::Files};

/// Ledgers that are written at one time.
pub(super) const MOST_DRAFTS: usize = 4;

/// Ledgers that are read at one time: each has up to half a megabyte in memory, and its chunks' hashes.
pub(super) const MOST_READERS: usize = 8;

/// How long a reader may wait for a place, and for the disk: a call is answered in time, with what to do.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// The ledgers that a daemon keeps.
#[derive(Debug, Clone)]
pub struct Ledgers {
    shelf: Arc<Shelf>,
    /// Writes, which wait for the disk.
    writer: Files,
    /// Reads, which need not wait for those.
    reader: Files,
    drafts: Arc<Semaphore>,
    readers: Arc<Semaphore>,
}

impl Ledgers {
    /// Opens the directory, made if it is missing. What no launch of `recorded` has is a leftover of a daemon that was killed, and removed.
    ///
    /// # Errors
    /// The kernel's, of the threads. A directory that cannot be used is logged, and nothing is kept.
    pub fn open(
        dir: &Path,
        max_bytes: u64,
        recorded: &BTreeSet<String>,
    ) -> io::Result<(Self, [Writing; 2])> {
        let shelf = Arc::new(Shelf::open(dir, max_bytes, recorded));
        let (writer, written) = Files::start("ledger-writer")?;
        let (reader, read) = Files::start("ledger-reader")?;
        let ledgers = Self {
            shelf,
            writer,
            reader,
            drafts: Arc::new(Semaphore::new(MOST_DRAFTS)),
            readers: Arc::new(Semaphore::new(MOST_READERS)),
        };
        Ok((ledgers, [written, read]))
    }

    /// The bound on all files, in bytes.
    pub(super) fn max_bytes(&self) -> u64 {
        self.shelf.max_bytes()
    }

    /// Waits for a turn at writing.
    pub(super) async fn turn(&self) -> io::Result<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.drafts).acquire_owned().await;
        turn.map_err(io::Error::other)
    }

    /// Where files are written.
    pub(super) fn writer(&self) -> &Files {
        &self.writer
    }

    /// Begins a file.
    pub(super) async fn draft(&self, uid: &str) -> io::Result<Draft> {
        let (shelf, uid) = (self.shelf(), uid.to_owned());
        self.writer.run(move || shelf.draft(uid)).await
    }

    /// The directory, for work on its files.
    pub(super) fn shelf(&self) -> Arc<Shelf> {
        Arc::clone(&self.shelf)
    }

    /// Opens a launch's ledger. Waits while too many are read, within [`READ_WITHIN`].
    ///
    /// # Errors
    /// The kernel's: `NotFound` where it was dropped. `InvalidData` for a file that was tampered with. `TimedOut`.
    pub(super) async fn read(&self, uid: &str, note: Note) -> io::Result<Kept> {
        within(self.open_kept(uid, note)).await
    }

    async fn open_kept(&self, uid: &str, note: Note) -> io::Result<Kept> {
        let reading = Arc::clone(&self.readers).acquire_owned().await;
        let reading = reading.map_err(io::Error::other)?;
        let (shelf, uid) = (self.shelf(), uid.to_owned());
        // The place among the readers goes with the work: who stops waiting does not make room for more of it.
        let open = move || {
            if note.pages == 0 {
                return Ok((kept::Ledger::empty(), reading));
            }
            let ledger = kept::Ledger::open(shelf.file(&uid)?, &uid, note)?;
            Ok((ledger, reading))
        };
        let (ledger, reading) = self.reader.run(open).await?;
        Ok(Kept::new(ledger, self.reader.clone(), reading))
    }

    /// Removes a launch's ledger. One that is not there is no error.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn remove(&self, uid: &str) -> io::Result<()> {
        let (shelf, uid) = (self.shelf(), uid.to_owned());
        self.writer.run(move || shelf.remove(&uid)).await
    }
}

/// `reading`, in time.
///
/// # Errors
/// Its own; `TimedOut`.
pub(super) async fn within<T>(reading: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_elapsed| io::Error::from(io::ErrorKind::TimedOut);
    timeout(READ_WITHIN, reading).await.map_err(late)?
}
