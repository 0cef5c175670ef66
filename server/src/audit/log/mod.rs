//! The audit log's files: records appended to one, which is set aside when it is full.
//!
//! ```text
//! <audit_dir>/                            0700
//!   audit-00000000000000000812.jsonl      full; its last record is 812
//!   audit-00000000000000001650.jsonl
//!   audit.jsonl                           written
//! ```
//!
//! A crash leaves one of these, and the next daemon goes on from each:
//!
//! | when                             | what is found                             | what is done                              |
//! |----------------------------------|-------------------------------------------|-------------------------------------------|
//! | within a write                   | part of a line, or of several, at the end | a record says so, and covers it by a hash |
//! | after the rename of a full file  | no `audit.jsonl`                          | it is made; the chain goes on             |
//! | before an old file was removed   | one file more than are kept               | the next rotation removes it              |
//!
//! What could not be written whole is taken back before anything else is written, so that a disk that is full leaves no trace but the records that are missing.
//!
//! **Invariant:** what [`Log::append`] has returned for is on the disk, and the chain of all files is whole.

use std::{fs::File, io, path::Path, sync::Arc};

use stagepages_audit::{Chain, Entry, Event, Head, Tail, Torn, tail};

use super::place::{CURRENT, Place, Steps, Unhindered};

#[cfg(test)]
mod tests;

/// How much of a file's end is looked through for its last record: what one crash can tear is far less.
const END: u64 = 1 << 20;

/// How much may be kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of one file; one that would grow beyond is set aside.
    pub(super) file_bytes: u64,
    /// Files, the one that is written among them.
    pub(super) files: usize,
}

/// A log that is open for appending.
#[derive(Debug)]
pub(super) struct Log {
    place: Place,
    limits: Limits,
    chain: Chain,
    current: Option<Current>,
}

/// The file that is written.
#[derive(Debug)]
struct Current {
    file: File,
    /// Its bytes up to which all is on the disk. Beyond may be what could not be written whole.
    length: u64,
    /// Whether something is beyond.
    dirty: bool,
    /// What a crash left behind its last record, until a record covers it.
    torn: Option<Torn>,
    /// Whether its last byte is no newline.
    open: bool,
}

impl Log {
    /// Opens the log in a directory, and finds its head.
    ///
    /// # Errors
    /// The kernel's; [`PermissionDenied`](io::ErrorKind::PermissionDenied) if something in the directory is not ours, and
    /// [`InvalidData`](io::ErrorKind::InvalidData) if a file is no log of ours.
    pub(super) fn open(dir: &Path, limits: Limits) -> io::Result<Self> {
        Self::open_with(dir, limits, Arc::new(Unhindered))
    }

    fn open_with(dir: &Path, limits: Limits, steps: Arc<dyn Steps>) -> io::Result<Self> {
        let place = Place::open(dir, steps)?;
        let mut current = None;
        let mut head = None;
        if let Some(file) = place.find(CURRENT)? {
            let (found, length) = end(&place, &file, CURRENT)?;
            head = found.head;
            current = Some(Current {
                file,
                length,
                dirty: false,
                torn: found.torn,
                open: found.open && length > 0,
            });
        }
        if head.is_none() {
            head = last_of_full(&place)?;
        }
        Ok(Self {
            place,
            limits,
            chain: Chain::behind(head),
            current,
        })
    }

    /// The last record.
    pub(super) fn head(&self) -> Option<Head> {
        self.chain.head()
    }

    /// Where it is.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Appends records, and returns when they are on the disk.
    ///
    /// # Errors
    /// The kernel's. None of them is in the log then, and all may be appended again.
    pub(super) fn append(&mut self, entries: &[&Entry]) -> io::Result<()> {
        self.settle()?;
        let mut chain = self.chain.clone();
        let (bytes, mends) = self.lines(&mut chain, entries)?;
        let full = self.current.as_ref().is_some_and(|current| {
            current.length > 0 && current.length + bytes.len() as u64 > self.limits.file_bytes
        });
        // What is torn is covered in the file in which it is.
        if full && !mends {
            self.rotate()?;
        }
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.begin()?,
        };
        let appended = self.place.append(&current.file, &bytes);
        current.dirty = appended.is_err();
        if appended.is_ok() {
            current.length += bytes.len() as u64;
            current.torn = None;
            current.open = false;
            self.chain = chain;
        }
        self.current = Some(current);
        appended
    }

    /// What is to be written for `entries`, and whether that mends what a crash tore.
    fn lines(&self, chain: &mut Chain, entries: &[&Entry]) -> io::Result<(Vec<u8>, bool)> {
        let mut bytes = Vec::new();
        let mut mended = None;
        let mut mends = false;
        if let Some(current) = &self.current {
            if current.open {
                bytes.push(b'\n');
            }
            mends = current.open || current.torn.is_some();
            mended = current.torn.map(|torn| Entry {
                torn: Some(torn),
                ..Entry::new(Event::LogMended)
            });
        }
        for entry in mended.iter().chain(entries.iter().copied()) {
            bytes.extend(chain.seal(entry).map_err(io::Error::from)?);
        }
        Ok((bytes, mends))
    }

    /// Takes back what a write that failed left, and lets go of a file that somebody moved away.
    fn settle(&mut self) -> io::Result<()> {
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        if current.dirty {
            self.place.truncate(&current.file, current.length)?;
            current.dirty = false;
        }
        if self.place.has(&current.file)? {
            return Ok(());
        }
        tracing::error!(
            file = CURRENT,
            "somebody moved the audit log away; it goes on in a new file"
        );
        self.current = None;
        Ok(())
    }

    /// Sets the file aside. The next one is made when it is needed.
    fn rotate(&mut self) -> io::Result<()> {
        if let Some(head) = self.head() {
            self.place.set_aside(head.seq)?;
            self.current = None;
        }
        Ok(())
    }

    /// Makes the next file, after room is made for it.
    fn begin(&mut self) -> io::Result<Current> {
        let full = self.place.full()?;
        let excess = (full.len() + 1).saturating_sub(self.limits.files);
        for name in full.iter().take(excess) {
            self.place.remove(name)?;
        }
        Ok(Current {
            file: self.place.create()?,
            length: 0,
            dirty: false,
            torn: None,
            open: false,
        })
    }
}

/// The last record of the newest full file that has one.
fn last_of_full(place: &Place) -> io::Result<Option<Head>> {
    for name in place.full()?.iter().rev() {
        if let Some(file) = place.find(name)? {
            let (found, _) = end(place, &file, name)?;
            if found.head.is_some() {
                return Ok(found.head);
            }
        }
    }
    Ok(None)
}

/// The end of a file, and its length.
fn end(place: &Place, file: &File, name: &str) -> io::Result<(Tail, u64)> {
    let (bytes, length) = place.end_of(file, END)?;
    let found = tail(&bytes);
    if found.head.is_none() && length > END {
        let text = format!(
            "{name} has no record in its last {END} bytes, so it is no audit log; move it away"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok((found, length))
}
