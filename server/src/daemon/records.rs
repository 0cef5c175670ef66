//! The files in which launches are kept: one for each, in a directory of the daemon's own.
//!
//! A file is replaced whole, by a rename, so it is the old one or the new one whenever the daemon is killed. What has to outlast the machine as
//! well is also forced to the disk. One thread writes; nobody else waits for a disk.
//!
//! A launch that is deleted stays deleted, whatever was about to be written of it: its [`Page`] is torn out first.
//!
//! **Invariant:** a file that is not whole, or not ours, is never taken for a record, and never removed.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use prost::Message as _;
use tokio::sync::{mpsc, oneshot};

use super::{Record, own};

/// What a file begins with. The hash of the rest follows, 32 bytes, then the rest.
const MAGIC: &[u8] = b"stagepages launch 1\n";

/// Largest file: 512 answers of a kilobyte, and a console.
const MAX_BYTES: u64 = 4 << 20;

/// Writes that may wait.
const QUEUE: usize = 64;

/// How much a write withstands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withstands {
    /// The end of this process.
    Process,
    /// The end of the machine's power.
    Power,
}

/// The records of a daemon.
#[derive(Debug, Clone)]
pub struct Records {
    jobs: mpsc::Sender<Job>,
}

/// A launch's place among the records. Clones are the same place.
#[derive(Debug, Clone, Default)]
pub struct Page {
    torn_out: Arc<AtomicBool>,
}

/// Writes that are under way, for who ends the process.
#[derive(Debug)]
pub struct Writing(Receiver<()>);

#[derive(Debug)]
struct Job {
    what: What,
    done: oneshot::Sender<io::Result<()>>,
}

#[derive(Debug)]
enum What {
    Save(Box<Record>, Withstands, Page),
    Remove(String, Page),
}

impl Records {
    /// Records for tests of a disk with much to do: nothing is written before the returned end is dropped.
    #[cfg(test)]
    pub(super) fn held(dir: &Path) -> io::Result<(Self, SyncSender<()>)> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (alive, _) = sync_channel(1);
        let (hold, held) = sync_channel(0);
        let dir = dir.to_owned();
        thread::Builder::new().spawn(move || {
            while held.recv().is_ok() {}
            work(&dir, queue, &alive);
        })?;
        Ok((Self { jobs }, hold))
    }

    /// Opens the directory, made if it is missing, and reads what is there, oldest launch first.
    ///
    /// # Errors
    /// The kernel's. A file that is no record is logged and left alone.
    pub fn open(dir: &Path) -> io::Result<(Self, Vec<Record>, Writing)> {
        own::dir(dir)?;
        let mut records = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(TEMPORARY) {
                // Of a daemon that was killed before its rename.
                if let Err(error) = own::remove(&path) {
                    tracing::error!(path = %path.display(), %error, "not a launch's record; ignored");
                }
                continue;
            }
            match read(&path) {
                Ok(record) if record.uid == name => records.push(record),
                Ok(_) => {
                    tracing::error!(path = %path.display(), "the record of another launch; ignored");
                }
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "not a launch's record; ignored");
                }
            }
        }
        records.sort_by_key(|record| record.sequence);
        let (jobs, queue) = mpsc::channel(QUEUE);
        let dir: Arc<Path> = dir.into();
        let (alive, writing) = sync_channel(1);
        thread::Builder::new()
            .name("records".to_owned())
            .spawn(move || work(&dir, queue, &alive))?;
        Ok((Self { jobs }, records, Writing(writing)))
    }

    /// Writes a launch's record, in place of the one there is; of a launch that was removed, nothing.
    ///
    /// # Errors
    /// The kernel's: the old one is still there.
    pub async fn save(
        &self,
        record: Record,
        withstands: Withstands,
        page: &Page,
    ) -> io::Result<()> {
        let what = What::Save(Box::new(record), withstands, page.clone());
        self.ask(what).await
    }

    /// Takes a launch's record away, for good. One that is not there is no error.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn remove(&self, uid: &str, page: &Page) -> io::Result<()> {
        // Before this is in the queue: what is behind it there is not written.
        page.torn_out.store(true, Ordering::Release);
        self.ask(What::Remove(uid.to_owned(), page.clone())).await
    }

    async fn ask(&self, what: What) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        let gone = || io::Error::other("the thread that writes records is gone");
        self.jobs
            .send(Job { what, done })
            .await
            .map_err(|_closed| gone())?;
        answer.await.map_err(|_closed| gone())?
    }
}

impl Writing {
    /// Writes of a thread that drops the other end when it ends.
    pub(crate) fn of(ended: Receiver<()>) -> Self {
        Self(ended)
    }

    /// Waits, no longer than `patience`, until all is written. Every [`Records`] MUST be gone, or on its way.
    #[must_use]
    pub fn end(self, patience: Duration) -> bool {
        self.0.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
    }
}

const TEMPORARY: &str = ".new-";

/// `_alive` tells, by going, that this has ended.
fn work(dir: &Path, mut queue: mpsc::Receiver<Job>, _alive: &SyncSender<()>) {
    while let Some(Job { what, done }) = queue.blocking_recv() {
        let result = match what {
            What::Save(_, _, page) if page.torn_out.load(Ordering::Acquire) => Ok(()),
            What::Save(record, withstands, _) => write(dir, &record, withstands),
            What::Remove(uid, page) => {
                let removed = remove(dir, &uid);
                // What is still there may be written again.
                page.torn_out.store(removed.is_ok(), Ordering::Release);
                removed
            }
        };
        // Whoever asked may have left; what they asked for is done.
        drop(done.send(result));
    }
}

fn write(dir: &Path, record: &Record, withstands: Withstands) -> io::Result<()> {
    let mut body = record.encode_to_vec();
    if (MAGIC.len() + blake3::OUT_LEN + body.len()) as u64 > MAX_BYTES {
        // Of a host that tells what none of ours does. How the launch ended is kept all the same.
        tracing::error!(
            launch = record.id,
            bytes = body.len(),
            "a record is too long; its answers are left out"
        );
        let short = Record {
            answers: Vec::new(),
            ..record.clone()
        };
        body = short.encode_to_vec();
    }
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .tempfile_in(dir)?;
    file.write_all(MAGIC)?;
    file.write_all(blake3::hash(&body).as_bytes())?;
    file.write_all(&body)?;
    if withstands == Withstands::Power {
        file.as_file().sync_all()?;
    }
    let path = dir.join(&record.uid);
    own::has(&path)?;
    file.persist(path).map_err(|error| error.error)?;
    if withstands == Withstands::Power {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

fn remove(dir: &Path, uid: &str) -> io::Result<()> {
    let path = dir.join(uid);
    if !own::has(&path)? {
        return Ok(());
    }
    fs::remove_file(path)?;
    // Gone for good, also if the machine's power goes.
    File::open(dir)?.sync_all()
}

fn read(path: &Path) -> io::Result<Record> {
    let garbled = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let file = own::file(path, File::options().read(true))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(garbled("it is too long"));
    }
    let body = bytes
        .strip_prefix(MAGIC)
        .ok_or_else(|| garbled("it begins with something else"))?;
    let (hash, body) = body
        .split_first_chunk::<32>()
        .ok_or_else(|| garbled("it is cut short"))?;
    if blake3::hash(body) != *hash {
        return Err(garbled("its contents are not what was written"));
    }
    Record::decode(body).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(uid: &str, sequence: u64) -> Record {
        Record {
            id: format!("launch-{sequence}"),
            uid: uid.to_owned(),
            sequence,
            ..Record::default()
        }
    }

    #[tokio::test]
    async fn what_was_saved_is_found_again_in_order_and_what_was_removed_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("launches");
        let (records, found, _) = Records::open(&path).unwrap();
        assert_eq!(found, []);
        for (uid, sequence) in [("b", 1), ("c", 3), ("a", 2)] {
            let record = record(uid, sequence);
            records
                .save(record, Withstands::Process, &Page::default())
                .await
                .unwrap();
        }
        let changed = Record {
            lease_millis: 7,
            ..record("a", 2)
        };
        records
            .save(changed.clone(), Withstands::Power, &Page::default())
            .await
            .unwrap();
        records.remove("c", &Page::default()).await.unwrap();
        records.remove("c", &Page::default()).await.unwrap();
        let (_, found, _) = Records::open(&path).unwrap();
        assert_eq!(found, [record("b", 1), changed]);
    }

    #[tokio::test]
    async fn what_was_removed_is_not_written_again_and_the_rest_is_before_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let (records, _, writing) = Records::open(dir.path()).unwrap();
        let (page, other) = (Page::default(), Page::default());
        let save = |uid, page| records.save(record(uid, 1), Withstands::Power, page);
        save("a", &page).await.unwrap();
        // All at once: the removal may come first or last.
        let removed = records.remove("a", &page);
        let (one, gone, two, _) = tokio::join!(
            save("a", &page),
            removed,
            save("a", &page),
            save("b", &other)
        );
        one.and(gone).and(two).unwrap();
        drop(records);
        assert!(writing.end(Duration::from_secs(60)));
        let (_, found, _) = Records::open(dir.path()).unwrap();
        assert_eq!(found, [record("b", 1)]);
    }

    #[tokio::test]
    async fn a_file_that_is_torn_foreign_or_misnamed_is_ignored_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (records, _, _) = Records::open(dir.path()).unwrap();
        records
            .save(record("good", 1), Withstands::Process, &Page::default())
            .await
            .unwrap();
        let whole = fs::read(dir.path().join("good")).unwrap();
        let torn: Vec<_> = (0..whole.len())
            .map(|length| (format!("torn-{length}"), whole[..length].to_vec()))
            .collect();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let others = [
            ("flipped".to_owned(), flipped),
            ("another".to_owned(), whole),
        ];
        for (name, bytes) in torn.iter().chain(&others) {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        std::os::unix::fs::symlink("/dev/zero", dir.path().join("link")).unwrap();
        fs::write(dir.path().join(".new-1"), b"half").unwrap();
        let (_, found, _) = Records::open(dir.path()).unwrap();
        assert_eq!(found, [record("good", 1)]);
        assert!(dir.path().join("flipped").exists());
        assert!(dir.path().join("link").is_symlink());
        assert!(!dir.path().join(".new-1").exists());
    }
}
