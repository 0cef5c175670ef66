//! The directory of the ledgers' files, and the bound on all of them.
//!
//! **Invariant:** the files that count are within the bound whenever one was added; a file that is not ours is never removed. Only run headers of a ledger that is
//! being written, whose size is not known yet, come on top.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{draft::Draft, format::Note, sealed::damaged};
use crate::{daemon::own, supervisor::HostId};

/// What a file begins its name with while it is written.
const TEMPORARY: &str = ".new-";

/// The directory.
#[derive(Debug)]
pub(super) struct Shelf {
    dir: PathBuf,
    max_bytes: u64,
    /// Why nothing is put there by this daemon.
    closed: Option<String>,
    files: Mutex<Index>,
}

/// What is there, oldest first.
#[derive(Debug, Default)]
struct Index {
    by_age: BTreeMap<u64, (String, u64)>,
    next: u64,
    /// Bytes of the files, and of what is set aside for more.
    bytes: u64,
}

/// Bytes that are set aside for a file.
#[derive(Debug)]
pub(super) struct Room {
    shelf: Arc<Shelf>,
    bytes: u64,
}

impl Shelf {
    /// The directory, made if it is missing. One that cannot be used costs ledgers, and never the daemon, that has launches to look after.
    pub(super) fn open(dir: &Path, max_bytes: u64, recorded: &BTreeSet<String>) -> Self {
        let (index, closed) = match own::dir(dir).and_then(|()| look_through(dir, recorded)) {
            Ok(index) => (index, None),
            Err(error) => {
                tracing::error!(path = %dir.display(), %error, "the ledgers of ended launches are not kept until the next start; mend the directory");
                (Index::default(), Some(error.to_string()))
            }
        };
        let shelf = Self {
            dir: dir.to_owned(),
            max_bytes,
            closed,
            files: Mutex::new(index),
        };
        // The bound may be lower than the last daemon's.
        let bound = shelf.make_room(0);
        if !matches!(bound, Ok(true)) {
            tracing::error!(
                ?bound,
                "the kept ledgers stay above ended_ledgers_max_bytes"
            );
        }
        shelf
    }

    /// The bound on all files, in bytes.
    pub(super) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Begins a file.
    pub(super) fn draft(&self, uid: String) -> io::Result<Draft> {
        // What is there was not counted: the bound would not hold.
        if let Some(why) = &self.closed {
            let text = format!("when the daemon started, state_dir/ledgers was unusable: {why}");
            return Err(io::Error::other(text));
        }
        let mut builder = tempfile::Builder::new();
        Draft::new(builder.prefix(TEMPORARY).tempfile_in(&self.dir)?, uid)
    }

    /// Sets `bytes` aside; the oldest files are dropped for it. `None` where there is no room even without them.
    pub(super) fn set_aside(self: &Arc<Self>, bytes: u64) -> io::Result<Option<Room>> {
        if bytes > self.max_bytes || !self.make_room(bytes)? {
            return Ok(None);
        }
        self.index().bytes += bytes;
        Ok(Some(Room {
            shelf: Arc::clone(self),
            bytes,
        }))
    }

    /// Puts a whole file in its place, for good.
    pub(super) fn put(&self, draft: Draft, pages: u64, uid: &str) -> io::Result<Note> {
        let (file, note, room) = draft.seal(pages)?;
        file.as_file().sync_all()?;
        let bytes = file.as_file().metadata()?.len();
        let path = self.dir.join(uid);
        own::has(&path)?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(&self.dir)?.sync_all()?;
        drop(room);
        let mut index = self.index();
        index.forget(uid);
        index.add(uid.to_owned(), bytes);
        Ok(note)
    }

    /// Opens a launch's file: a regular one and nothing else.
    ///
    /// # Errors
    /// The kernel's; `InvalidData` for what is no file of ours.
    pub(super) fn file(&self, uid: &str) -> io::Result<File> {
        let path = self.dir.join(uid);
        own::file(&path, File::options().read(true)).map_err(|error| {
            if error.kind() == io::ErrorKind::PermissionDenied {
                return damaged(&error.to_string());
            }
            error
        })
    }

    /// Removes a launch's file. One that is not there is no error.
    pub(super) fn remove(&self, uid: &str) -> io::Result<()> {
        own::remove(&self.dir.join(uid))?;
        self.index().forget(uid);
        Ok(())
    }

    /// Drops the oldest files until `bytes` more are within the bound; tells whether they are.
    fn make_room(&self, bytes: u64) -> io::Result<bool> {
        loop {
            let oldest = {
                let index = self.index();
                if index.bytes.saturating_add(bytes) <= self.max_bytes {
                    return Ok(true);
                }
                index.by_age.values().next().cloned()
            };
            let Some((uid, bytes)) = oldest else {
                return Ok(false);
            };
            tracing::info!(
                uid,
                bytes,
                "the ledger of an ended launch is dropped for room"
            );
            self.remove(&uid)?;
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn add(&mut self, uid: String, bytes: u64) {
        self.by_age.insert(self.next, (uid, bytes));
        self.next += 1;
        self.bytes += bytes;
    }

    fn forget(&mut self, uid: &str) {
        let mut freed = 0;
        self.by_age.retain(|_, (known, bytes)| {
            let keep = known != uid;
            freed += if keep { 0 } else { *bytes };
            keep
        });
        self.bytes = self.bytes.saturating_sub(freed);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut index = self.shelf.index();
        index.bytes = index.bytes.saturating_sub(self.bytes);
    }
}

/// What is there and counts. What no launch of `recorded` has is removed; what cannot be removed counts.
fn look_through(dir: &Path, recorded: &BTreeSet<String>) -> io::Result<Index> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let about = entry.metadata()?;
        if !is_ours(&name) || !matches!(own::has(&path), Ok(true)) {
            tracing::error!(path = %path.display(), "not a ledger's file; ignored");
            continue;
        }
        if !recorded.contains(&name) {
            // Of a daemon that was killed before it was on record, or while the launch was deleted.
            match fs::remove_file(&path) {
                Ok(()) => continue,
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "a leftover ledger stays");
                }
            }
        }
        found.push((about.modified()?, name, about.len()));
    }
    found.sort();
    let mut index = Index::default();
    for (_, uid, bytes) in found {
        index.add(uid, bytes);
    }
    Ok(index)
}

fn is_ours(name: &str) -> bool {
    name.starts_with(TEMPORARY) || name.parse::<HostId>().is_ok()
}
