//! Room for files in the cache, promised before their first byte comes.
//!
//! ```text
//! pull for a launch    takes the place of anything that is not being pulled: first of what no LaunchImage wants, then of what was needed longest ago
//! pull to be kept      takes the place of nothing that a LaunchImage wants: two that do not fit beside each other would push each other out for ever
//! ```
//!
//! **Invariant:** what is there and what was promised is never more than there is room for; what is being pulled is never removed.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

/// What files are there for, by name.
#[derive(Debug, Default)]
struct Table {
    /// Being pulled, with their length.
    promised: HashMap<String, u64>,
    /// Kept for so many.
    wanted: HashMap<String, usize>,
}

type Shared = Arc<Mutex<Table>>;

/// All the room.
#[derive(Debug, Clone)]
pub(super) struct Room {
    directory: PathBuf,
    most: u64,
    table: Shared,
}

/// Room for one file, until it is dropped: then it has what the file takes.
#[derive(Debug)]
pub(super) struct Promise {
    table: Shared,
    name: String,
}

/// Files that are kept at hand, until this is dropped.
#[derive(Debug)]
pub(crate) struct Keeping {
    table: Shared,
    names: Mutex<HashSet<String>>,
}

/// What a file is pulled for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose<'a> {
    /// A launch, which waits for it.
    Launch,
    /// To be there before a launch needs it.
    Keep(&'a Keeping),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Promise {
    fn drop(&mut self) {
        lock(&self.table).promised.remove(&self.name);
    }
}

impl Keeping {
    /// From now on this file is wanted.
    pub(super) fn want(&self, name: &str) {
        if lock(&self.names).insert(name.to_owned()) {
            *lock(&self.table).wanted.entry(name.to_owned()).or_default() += 1;
        }
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        let mut table = lock(&self.table);
        for name in lock(&self.names).iter() {
            if let Some(count) = table.wanted.get_mut(name) {
                *count = count.saturating_sub(1);
            }
        }
        table.wanted.retain(|_, count| *count > 0);
    }
}

impl Room {
    pub(super) fn new(directory: PathBuf, most: u64) -> Self {
        Self {
            directory,
            most,
            table: Shared::default(),
        }
    }

    /// Nothing is kept by it yet.
    pub(super) fn keeping(&self) -> Keeping {
        Keeping {
            table: Arc::clone(&self.table),
            names: Mutex::default(),
        }
    }

    /// Removes what there is no room for any more: it may have been more for an earlier agent.
    pub(super) fn trim(&self) -> io::Result<()> {
        let table = lock(&self.table);
        self.make(&table, None, false).map(drop)
    }

    /// Promises room for a file that nobody else pulls, and makes it; `None` where there is none to be made, and nothing was removed.
    pub(super) fn promise(
        &self,
        name: &str,
        bytes: u64,
        spares_wanted: bool,
    ) -> io::Result<Option<Promise>> {
        // Held until it is made: of two that come at once, the second finds what the first was promised.
        let mut table = lock(&self.table);
        if !self.make(&table, Some((name, bytes)), spares_wanted)? {
            return Ok(None);
        }
        table.promised.insert(name.to_owned(), bytes);
        Ok(Some(Promise {
            table: Arc::clone(&self.table),
            name: name.to_owned(),
        }))
    }

    /// Removes files until all that is promised fits beside the rest; false, and nothing is removed, where that cannot be.
    fn make(
        &self,
        table: &Table,
        more: Option<(&str, u64)>,
        spares_wanted: bool,
    ) -> io::Result<bool> {
        let mut promised = table.promised.clone();
        promised.extend(more.map(|(name, bytes)| (name.to_owned(), bytes)));
        let mut removable = Vec::new();
        let mut held: u64 = 0;
        let mut all = files(&self.directory.join("blobs"))?;
        all.extend(files(&self.directory.join("partial"))?);
        for file in all {
            // Of those that are being pulled, whatever is more counts: what they will be, or what an earlier pull left.
            if let Some(bytes) = promised.get_mut(&file.name) {
                *bytes = file.bytes.max(*bytes);
                continue;
            }
            held = held.saturating_add(file.bytes);
            let is_wanted = table.wanted.contains_key(&file.name);
            if !(is_wanted && spares_wanted) {
                removable.push((is_wanted, file));
            }
        }
        held = promised
            .values()
            .fold(held, |sum, it| sum.saturating_add(*it));
        let most_to_be_freed: u64 = removable.iter().map(|(_, it)| it.bytes).sum();
        if held.saturating_sub(most_to_be_freed) > self.most {
            return Ok(false);
        }
        removable.sort_by_key(|(is_wanted, it)| (*is_wanted, it.modified));
        for (_, old) in removable {
            if held <= self.most {
                break;
            }
            tracing::info!(file = %old.path.display(), bytes = old.bytes, "removed to make room for another image");
            gone(fs::remove_file(&old.path))?;
            held = held.saturating_sub(old.bytes);
        }
        Ok(true)
    }
}

/// A file of the cache.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) modified: SystemTime,
}

/// All of a folder.
pub(super) fn files(folder: &Path) -> io::Result<Vec<Found>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Another pull may have removed it meanwhile.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        all.push(Found {
            name: entry.file_name().to_string_lossy().into_owned(),
            path: entry.path(),
            bytes: metadata.len(),
            modified: metadata.modified()?,
        });
    }
    Ok(all)
}

/// That it was gone before is as good.
pub(super) fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(most: u64) -> (tempfile::TempDir, Room) {
        let folder = tempfile::tempdir().unwrap();
        for part in ["blobs", "partial"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        let room = Room::new(folder.path().to_owned(), most);
        (folder, room)
    }

    fn put(room: &Room, file: &str, bytes: usize, age: u64) -> PathBuf {
        let path = room.directory.join(file);
        fs::write(&path, vec![0; bytes]).unwrap();
        let modified = SystemTime::now() - std::time::Duration::from_secs(age);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(modified).unwrap();
        path
    }

    #[test]
    fn what_was_promised_is_there_before_its_first_byte() {
        let (_folder, room) = room(10);
        let first = room.promise("a", 6, false).unwrap();
        assert!(first.is_some());
        assert!(room.promise("b", 5, false).unwrap().is_none());
        // Its part is not taken from it, however old it looks.
        let part = put(&room, "partial/a", 1, 1000);
        assert!(room.promise("b", 5, false).unwrap().is_none());
        assert!(part.exists());
        assert!(room.promise("b", 4, false).unwrap().is_some());
        drop(first);
        assert!(room.promise("b", 10, false).unwrap().is_some());
        assert!(!part.exists(), "nobody pulls it any more");
    }

    #[test]
    fn what_is_kept_goes_last_for_a_launch_and_never_for_another_that_is_kept() {
        let (_folder, room) = room(10);
        let kept = put(&room, "blobs/kept", 6, 1000);
        let plain = put(&room, "blobs/plain", 4, 10);
        let keeping = room.keeping();
        keeping.want("kept");
        assert!(room.promise("b", 5, true).unwrap().is_none());
        assert!(plain.exists(), "nothing goes where that is of no use");
        drop(room.promise("b", 4, true).unwrap().unwrap());
        assert!(kept.exists() && !plain.exists());
        let plain = put(&room, "blobs/plain", 4, 10);
        drop(room.promise("b", 4, false).unwrap().unwrap());
        assert!(kept.exists() && !plain.exists());
        drop(room.promise("b", 5, false).unwrap().unwrap());
        assert!(
            !kept.exists(),
            "a launch does not wait for what may be needed"
        );
        let kept = put(&room, "blobs/kept", 6, 1000);
        drop(keeping);
        drop(room.promise("b", 5, true).unwrap().unwrap());
        assert!(!kept.exists(), "nobody wants it any more");
    }

    #[test]
    fn what_there_is_no_room_for_any_more_goes_at_once() {
        let (_folder, room) = room(10);
        let old = put(&room, "blobs/old", 6, 1000);
        let new = put(&room, "partial/new", 6, 10);
        room.trim().unwrap();
        assert!(!old.exists() && new.exists());
    }
}
