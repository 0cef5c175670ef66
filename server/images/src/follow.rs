//! Two threads that hash an upload while it grows, a bit behind what is written: one for the image's digest, and one for those of its pieces.
//!
//! They hash the buffers that were written, while these are still in a core's cache, and let them go; see `backlog` for how many may be held. The file is read
//! only for what an earlier writer left in it, and for what is written while much of that, or of zeros, is still to be hashed. The rest is not read back: a disk
//! that did not take it says so when the file is forced, and what changes later is found when a piece of the image is staged.
//!
//! **Invariant:** a digest is of all bytes, in order: of those that were given, and of those that were read from the file.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    sync::Arc,
    thread::{self, JoinHandle},
};

use bytes::Bytes;
use stagepages_digest::pieces::PieceDigest;

use crate::{
    ImageDigest,
    backlog::{Backlog, End, Part, STEP, Unwanted},
    hashes::{Hash, Pieces, Whole},
};

static ZEROS: [u8; STEP] = [0; STEP];

/// What comes of an upload's bytes.
#[derive(Debug)]
pub(crate) struct Hashes {
    pub(crate) image: ImageDigest,
    pub(crate) pieces: Vec<PieceDigest>,
}

/// The way to the threads. Dropped, it waits for them to end, which is at most one buffer.
#[derive(Debug)]
pub(crate) struct Follower {
    image: Line<ImageDigest>,
    pieces: Line<Vec<PieceDigest>>,
}

/// The way to one of them.
#[derive(Debug)]
struct Line<T> {
    backlog: Arc<Backlog>,
    thread: Option<JoinHandle<io::Result<T>>>,
}

impl Follower {
    /// Starts the threads at the beginning of a file that has `left` bytes.
    ///
    /// # Errors
    /// The kernel has no room for them.
    pub(crate) fn start(file: &File, left: u64) -> io::Result<Self> {
        Ok(Self {
            image: Line::start::<Whole>("image-hash", file.try_clone()?, left)?,
            pieces: Line::start::<Pieces>("image-pieces", file.try_clone()?, left)?,
        })
    }

    /// These bytes are in the file, behind all others. Waits while too many are held.
    pub(crate) fn written(&self, bytes: &Bytes) {
        self.image.backlog.bytes(bytes.clone());
        self.pieces.backlog.bytes(bytes.clone());
    }

    /// So many zeros are in the file, behind all others.
    pub(crate) fn zeros(&self, length: u64) {
        self.image.backlog.unheld(Part::Zeros(length));
        self.pieces.backlog.unheld(Part::Zeros(length));
    }

    /// All is in the file; waits until it is hashed.
    ///
    /// # Errors
    /// The kernel's, and `UnexpectedEof` for a file that somebody cut.
    pub(crate) fn finish(mut self) -> io::Result<Hashes> {
        self.image.backlog.end(End::Whole);
        self.pieces.backlog.end(End::Whole);
        Ok(Hashes {
            image: self.image.join()?,
            pieces: self.pieces.join()?,
        })
    }
}

impl<T: Send + 'static> Line<T> {
    fn start<H: Hash<Out = T>>(name: &str, file: File, left: u64) -> io::Result<Self> {
        let backlog = Arc::new(Backlog::default());
        backlog.unheld(Part::Stored(left));
        let followed = Arc::clone(&backlog);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let _leaving = Leaving(&followed);
                follow::<H>(&file, &followed)
            })?;
        Ok(Self {
            backlog,
            thread: Some(thread),
        })
    }

    fn join(&mut self) -> io::Result<T> {
        let gone = || io::Error::other("a thread that hashes an image is gone");
        let thread = self.thread.take().ok_or_else(gone)?;
        thread.join().map_err(|_panic| gone())?
    }
}

impl<T> Drop for Line<T> {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.backlog.end(End::Stop);
            // What it says, nobody asked for.
            drop(thread.join());
        }
    }
}

/// Lets nobody wait for a thread that has ended, however it did.
struct Leaving<'a>(&'a Backlog);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.end(End::Stop);
    }
}

fn follow<H: Hash>(file: &File, backlog: &Backlog) -> io::Result<H::Out> {
    let (mut hash, mut done) = (H::default(), 0);
    let mut buffer = Vec::new();
    loop {
        let next = backlog.next();
        let bytes = match next.map_err(|Unwanted| io::ErrorKind::Interrupted)? {
            None => return Ok(hash.finish()),
            Some(Part::Held(bytes)) => {
                hash.add(&bytes);
                done += bytes.len() as u64;
                continue;
            }
            Some(Part::Zeros(length)) => ZEROS.get(..step(length)).unwrap_or_default(),
            Some(Part::Stored(length)) => {
                buffer.resize(step(length), 0);
                file.read_exact_at(&mut buffer, done)?;
                buffer.as_slice()
            }
        };
        hash.add(bytes);
        done += bytes.len() as u64;
    }
}

/// Bytes of a part that nobody holds, which is a step at most.
fn step(length: u64) -> usize {
    usize::try_from(length).map_or(STEP, |length| length.min(STEP))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use sha2::{Digest as _, Sha256};
    use stagepages_digest::pieces::{PIECE_BYTES, piece_digests};

    use super::*;

    #[test]
    fn a_file_is_hashed_alike_however_it_grew() {
        let mut image: Vec<u8> = (0..=250).cycle().take(PIECE_BYTES + 300_001).collect();
        let zeros = PIECE_BYTES / 3..PIECE_BYTES / 2;
        image[zeros.clone()].fill(0);
        for step in [1 << 20, 4097, 300_000, image.len()] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&image[..zeros.start]).unwrap();
            let follower = Follower::start(&file, zeros.start as u64).unwrap();
            // Of what is given nothing is read: it is not in the file.
            follower.zeros(zeros.len() as u64);
            for part in image[zeros.end..].chunks(step) {
                follower.written(&Bytes::copy_from_slice(part));
            }
            let hashes = follower.finish().unwrap();
            assert_eq!(hashes.image.0, <[u8; 32]>::from(Sha256::digest(&image)));
            assert_eq!(hashes.pieces, piece_digests(&image));
        }
    }

    #[test]
    fn a_file_that_is_cut_is_an_error_and_nobody_waits_for_a_thread_that_found_it() {
        let file = tempfile::tempfile().unwrap();
        let follower = Follower::start(&file, 10).unwrap();
        for _ in 0..3 {
            follower.written(&vec![7; crate::backlog::HELD].into());
        }
        let error = follower.finish().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        drop(Follower::start(&file, 10).unwrap());
    }
}
