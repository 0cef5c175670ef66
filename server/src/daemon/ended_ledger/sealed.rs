//! A file that is written once and whose every part can be checked alone: cut into chunks, with the chunks' hashes at its end.
//!
//! The seal is a hash of these hashes and of what the file is about. It is kept elsewhere.
//!
//! **Invariant:** no byte is read from a file but those that were written to the file of this seal.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt as _,
};

/// Bytes that are hashed and checked together.
const CHUNK: usize = 32 << 10;

/// Chunks that a reader keeps: of each part of the file the one that it is at, and a few more of a search.
const CACHED: usize = 16;

/// Ties a seal to its use, as BLAKE3 wants it.
const CONTEXT: &str = "stagepages 2026 seal of the ledger of an ended launch";

/// What is kept elsewhere of a file about `subject` with these chunks.
pub(super) fn seal(subject: &[u8], chunks: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(&(subject.len() as u64).to_le_bytes());
    hasher.update(subject);
    hasher.update(chunks);
    hasher.finalize().into()
}

/// Bytes of a whole file with `body` bytes of contents; `None` if no file is that large.
pub(super) fn length(body: u64) -> Option<u64> {
    let chunks = body.div_ceil(CHUNK as u64);
    body.checked_add(chunks.checked_mul(blake3::OUT_LEN as u64)?)
}

/// A file being written.
#[derive(Debug)]
pub(super) struct Sealing<W> {
    to: W,
    chunk: Vec<u8>,
    chunks: Vec<u8>,
    body: u64,
}

impl<W: Write> Sealing<W> {
    pub(super) fn new(to: W) -> Self {
        Self {
            to,
            chunk: Vec::with_capacity(CHUNK),
            chunks: Vec::new(),
            body: 0,
        }
    }

    /// Bytes of contents so far.
    pub(super) fn body(&self) -> u64 {
        self.body
    }

    /// Adds contents.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.body += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = CHUNK.saturating_sub(self.chunk.len());
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.chunk.extend_from_slice(now);
            bytes = later;
            if self.chunk.len() == CHUNK {
                self.end_chunk()?;
            }
        }
        Ok(())
    }

    /// Adds the chunks' hashes; returns the file and them.
    pub(super) fn end(mut self) -> io::Result<(W, Vec<u8>)> {
        if !self.chunk.is_empty() {
            self.end_chunk()?;
        }
        self.to.write_all(&self.chunks)?;
        Ok((self.to, self.chunks))
    }

    fn end_chunk(&mut self) -> io::Result<()> {
        self.to.write_all(&self.chunk)?;
        self.chunks
            .extend_from_slice(blake3::hash(&self.chunk).as_bytes());
        self.chunk.clear();
        Ok(())
    }
}

/// A file being read.
#[derive(Debug)]
pub(super) struct Sealed {
    file: File,
    body: u64,
    chunks: Vec<u8>,
    /// Chunks that were checked, the latest first.
    cached: VecDeque<(u64, Vec<u8>)>,
}

impl Sealed {
    /// Opens the file about `subject` with `body` bytes of contents, if it is that of this seal.
    ///
    /// # Errors
    /// The kernel's; `InvalidData` for another file.
    pub(super) fn open(file: File, subject: &[u8], body: u64, sealed: &[u8]) -> io::Result<Self> {
        let found = file.metadata()?;
        // Before anything is made as large as it says.
        if !found.is_file() || length(body) != Some(found.len()) {
            return Err(damaged("its length is not what was written"));
        }
        let table = found.len() - body;
        let mut chunks = vec![0; usize::try_from(table).map_err(io::Error::other)?];
        file.read_exact_at(&mut chunks, body)?;
        if seal(subject, &chunks) != *sealed {
            return Err(damaged("its seal is another"));
        }
        Ok(Self {
            file,
            body,
            chunks,
            cached: VecDeque::new(),
        })
    }

    /// Fills `out` from the contents at `at`.
    ///
    /// # Errors
    /// The kernel's; `InvalidData` for bytes that were not written so, or beyond the end.
    pub(super) fn read(&mut self, mut at: u64, mut out: &mut [u8]) -> io::Result<()> {
        while !out.is_empty() {
            let chunk = self.chunk(at / CHUNK as u64)?;
            let within = usize::try_from(at % CHUNK as u64).map_err(io::Error::other)?;
            let there = chunk.get(within..).unwrap_or_default();
            let length = there.len().min(out.len());
            let (now, later) = out.split_at_mut(length);
            match there.get(..length) {
                Some(there) if length > 0 => now.copy_from_slice(there),
                Some(_) | None => return Err(damaged("it ends too early")),
            }
            out = later;
            at = at.saturating_add(length as u64);
        }
        Ok(())
    }

    fn chunk(&mut self, number: u64) -> io::Result<&[u8]> {
        let known = self.cached.iter().position(|(known, _)| *known == number);
        let chunk = match known.and_then(|place| self.cached.remove(place)) {
            Some(chunk) => chunk,
            None => (number, self.load(number)?),
        };
        self.cached.truncate(CACHED - 1);
        self.cached.push_front(chunk);
        Ok(self.cached.front().map_or(&[], |(_, bytes)| bytes))
    }

    fn load(&self, number: u64) -> io::Result<Vec<u8>> {
        let (hashes, _) = self.chunks.as_chunks::<{ blake3::OUT_LEN }>();
        let beyond = || damaged("it ends too early");
        let hash = usize::try_from(number)
            .ok()
            .and_then(|number| hashes.get(number))
            .ok_or_else(beyond)?;
        let at = number.checked_mul(CHUNK as u64).ok_or_else(beyond)?;
        let length = self.body.saturating_sub(at).min(CHUNK as u64);
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, at)?;
        if blake3::hash(&bytes) != *hash {
            return Err(damaged("its contents are not what was written"));
        }
        Ok(bytes)
    }
}

/// What is said of a file that is not the one that was written.
pub(super) fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
