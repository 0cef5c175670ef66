//! A thread that hashes an upload while it grows: it follows the file, a bit behind what is written.
//!
//! It reads back what was written, from the page cache, instead of being handed the caller's buffers: these are free as soon as a write returns, so however far
//! hashing is behind, no memory is held; what is hashed is what the file has, not what it should have; and an upload that is resumed is hashed by the same code,
//! from its beginning, while its next bytes come in.
//!
//! **Invariant:** a digest is of bytes that were read from the file, all of them, in order.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use sha2::{Digest as _, Sha256};
use stagepages_digest::{
    PAGE_BYTES,
    pieces::{PieceDigest, PieceHasher, page_hashes},
};

use crate::ImageDigest;

/// Bytes that are read at once: whole pages, and little enough to stay in a core's own cache.
const READ: usize = 64 * PAGE_BYTES;

/// What comes of an upload's bytes.
#[derive(Debug)]
pub(crate) struct Hashes {
    pub(crate) image: ImageDigest,
    pub(crate) pieces: Vec<PieceDigest>,
}

/// The way to the thread. Dropped, it waits for the thread to end, which is at most one read.
#[derive(Debug)]
pub(crate) struct Follower {
    progress: Arc<Progress>,
    thread: Option<JoinHandle<io::Result<Hashes>>>,
}

#[derive(Debug)]
struct Progress {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Debug)]
struct State {
    /// Bytes that are in the file.
    written: u64,
    end: End,
    /// Whether the thread waits: who writes has nobody to wake otherwise.
    waiting: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// More may be written.
    Open,
    /// All is written.
    Whole,
    /// Nobody wants the hashes any more.
    Stop,
}

impl Follower {
    /// Starts the thread at the beginning of a file that has `written` bytes.
    ///
    /// # Errors
    /// The kernel has no room for it.
    pub(crate) fn start(file: File, written: u64) -> io::Result<Self> {
        let progress = Arc::new(Progress {
            state: Mutex::new(State {
                written,
                end: End::Open,
                waiting: false,
            }),
            more: Condvar::new(),
        });
        let followed = Arc::clone(&progress);
        let thread = thread::Builder::new()
            .name("image-hash".to_owned())
            .spawn(move || follow(&file, &followed))?;
        Ok(Self {
            progress,
            thread: Some(thread),
        })
    }

    /// More is in the file.
    pub(crate) fn written(&self, written: u64) {
        self.progress.change(|state| state.written = written);
    }

    /// All is in the file; waits until it is hashed.
    ///
    /// # Errors
    /// The kernel's, and `UnexpectedEof` for a file that somebody cut.
    pub(crate) fn finish(mut self) -> io::Result<Hashes> {
        self.progress.change(|state| state.end = End::Whole);
        let gone = || io::Error::other("the thread that hashes an image is gone");
        let thread = self.thread.take().ok_or_else(gone)?;
        thread.join().map_err(|_panic| gone())?
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.progress.change(|state| state.end = End::Stop);
            // What it says, nobody asked for.
            drop(thread.join());
        }
    }
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let enough = state.waiting;
        drop(state);
        if enough {
            self.more.notify_one();
        }
    }

    /// Waits until a whole read is there after `done`, or the end of all; how much it is. `None` if nobody wants it.
    fn next(&self, done: u64) -> Option<usize> {
        let mut state = self.lock();
        loop {
            let there = state.written.saturating_sub(done).min(READ as u64);
            let there = usize::try_from(there).unwrap_or(READ);
            match state.end {
                End::Stop => return None,
                End::Whole => return Some(there),
                End::Open if there == READ => return Some(there),
                End::Open => {}
            }
            state.waiting = true;
            state = self
                .more
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.waiting = false;
        }
    }
}

fn follow(file: &File, progress: &Progress) -> io::Result<Hashes> {
    let mut buffer = vec![0; READ];
    let (mut image, mut hasher, mut pieces) = (Sha256::new(), PieceHasher::new(), Vec::new());
    let mut done = 0;
    loop {
        let length = progress.next(done).ok_or(io::ErrorKind::Interrupted)?;
        let Some(bytes) = buffer.get_mut(..length).filter(|bytes| !bytes.is_empty()) else {
            pieces.extend(hasher.finish());
            let image = ImageDigest(image.finalize().into());
            return Ok(Hashes { image, pieces });
        };
        file.read_exact_at(bytes, done)?;
        done += length as u64;
        image.update(&*bytes);
        pieces.extend(page_hashes(bytes).filter_map(|page| hasher.add(&page)));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use stagepages_digest::pieces::{PIECE_BYTES, piece_digests};

    use super::*;

    #[test]
    fn a_file_is_hashed_alike_however_it_grew() {
        let image: Vec<u8> = (0..=250).cycle().take(PIECE_BYTES + 300_001).collect();
        for step in [1 << 20, 4097, 300_000, image.len()] {
            let mut file = tempfile::tempfile().unwrap();
            let (before, after) = image.split_at(PIECE_BYTES / 3);
            file.write_all(before).unwrap();
            let follower = Follower::start(file.try_clone().unwrap(), before.len() as u64).unwrap();
            let mut written = before.len();
            for part in after.chunks(step) {
                file.write_all(part).unwrap();
                written += part.len();
                follower.written(written as u64);
            }
            let hashes = follower.finish().unwrap();
            assert_eq!(hashes.image.0, <[u8; 32]>::from(Sha256::digest(&image)));
            assert_eq!(hashes.pieces, piece_digests(&image));
        }
    }

    #[test]
    fn a_file_that_is_cut_is_an_error_and_a_dropped_follower_ends() {
        let file = tempfile::tempfile().unwrap();
        let follower = Follower::start(file.try_clone().unwrap(), 10).unwrap();
        let error = follower.finish().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        drop(Follower::start(file, 10).unwrap());
    }
}
