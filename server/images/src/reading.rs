//! Images that are read.
//!
//! **Invariant:** while a [`Pinned`] lives, its image is neither evicted nor deleted, and its file is the one that was opened.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::FileExt as _,
    },
    sync::Arc,
};

use rustix::fs::OFlags;
use stagepages_digest::pieces::{PIECE_BYTES, PieceDigest, piece_digests};

use crate::{
    ImageDigest, Store, StoreError,
    commit::beside,
    key::Owner,
    sidecar::{self, Pieces},
    store::Inner,
};

/// An image that is open for reading.
///
/// Its bytes are those of a file, which somebody may change behind the store's back: check each piece on a copy that nobody else has.
#[derive(Debug)]
pub struct Pinned {
    file: File,
    digest: ImageDigest,
    size: u64,
    pieces: Pieces,
    pin: Arc<()>,
    /// Of who reads it; nobody does where the store looks at it by itself.
    _own: Option<Arc<()>>,
}

impl Pinned {
    /// The file, for reading at offsets.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The image's name.
    #[must_use]
    pub fn digest(&self) -> ImageDigest {
        self.digest
    }

    /// The image's bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The digests of the image's pieces, in order.
    #[must_use]
    pub fn pieces(&self) -> &Arc<[PieceDigest]> {
        &self.pieces
    }
}

impl AsFd for Pinned {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Store {
    /// Opens an owner's image for reading, and pins it. It counts as used by this owner; that is written down at most once a minute.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Corrupt`] if file or sidecar are not what was committed, then the image is set aside; the kernel's.
    pub fn open_image(&self, owner: &str, digest: ImageDigest) -> Result<Pinned, StoreError> {
        let owner = Owner::new(owner)?;
        let taken = self.0.index().taken_up(&owner, digest)?;
        let own = Some(taken.own);
        let pinned = (self.0).pinned(digest, taken.size, taken.pin, own, taken.pieces)?;
        if taken.note
            && let Err(error) = self.0.dirs.note_use(&owner, digest)
        {
            tracing::warn!(image = %digest, %error, "the use of an image is not written down");
        }
        Ok(pinned)
    }

    /// Reads an image and compares it with the digests of its pieces. One that differs is set aside.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if nobody has it, [`StoreError::Corrupt`], or the kernel's.
    pub fn verify(&self, digest: ImageDigest) -> Result<(), StoreError> {
        let (size, pin) = {
            let index = self.0.index();
            let blob = index.blobs.get(&digest);
            let blob = blob.ok_or(StoreError::NotFound { digest })?;
            (blob.size, Arc::clone(&blob.pin))
        };
        let pinned = self.0.pinned(digest, size, pin, None, None)?;
        match first_difference(&pinned) {
            Ok(None) => Ok(()),
            Ok(Some(piece)) => {
                let from = piece.saturating_mul(PIECE_BYTES as u64);
                let why = format!("the 2 MiB from {from:#x} differ from what was committed");
                Err(self.0.corrupt(digest, &pinned.pin, why))
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self
                    .0
                    .corrupt(digest, &pinned.pin, "its file was cut".to_owned()))
            }
            Err(error) => Err(StoreError::io("read an image")(error)),
        }
    }

    /// Sets an image aside whose bytes, read through `pinned`, were found to be others. Nothing happens if it was set aside before, and uploaded again.
    pub fn quarantine_pinned(&self, pinned: &Pinned, why: &str) {
        let error = self.0.corrupt(pinned.digest, &pinned.pin, why.to_owned());
        tracing::debug!(%error, "a reader found an image corrupt");
    }
}

impl Inner {
    /// Opens what is pinned.
    fn pinned(
        &self,
        digest: ImageDigest,
        size: u64,
        pin: Arc<()>,
        own: Option<Arc<()>>,
        pieces: Option<Pieces>,
    ) -> Result<Pinned, StoreError> {
        let name = digest.hex();
        let opened = self.dirs.blobs.open(&name, OFlags::RDONLY);
        let file = match opened.and_then(|file| Ok((file.metadata()?.len(), file))) {
            Ok((found, file)) if found == size => file,
            Ok((found, _)) => {
                let why = format!("its file has {found:#x} bytes, not {size:#x}");
                return Err(self.corrupt(digest, &pin, why));
            }
            Err(error) => return Err(self.unreadable(digest, &pin, "its file", error)),
        };
        let pieces = match pieces {
            Some(pieces) => pieces,
            None => self.read_pieces(digest, size, &pin)?,
        };
        Ok(Pinned {
            file,
            digest,
            size,
            pieces,
            pin,
            _own: own,
        })
    }

    fn read_pieces(
        &self,
        digest: ImageDigest,
        size: u64,
        pin: &Arc<()>,
    ) -> Result<Pieces, StoreError> {
        let opened = self.dirs.blobs.open(&beside(&digest.hex()), OFlags::RDONLY);
        let read = opened.and_then(|file| sidecar::read(digest, size, &file));
        let read = read.map_err(|error| self.unreadable(digest, pin, "its sidecar", error))?;
        let damaged = || self.corrupt(digest, pin, "its sidecar is damaged".to_owned());
        let pieces = read.ok_or_else(damaged)?;
        if let Some(blob) = self.index().blobs.get_mut(&digest) {
            blob.pieces = Arc::downgrade(&pieces);
        }
        Ok(pieces)
    }

    /// A file that is not there, or is another thing, is corrupt; what the kernel could not do may work the next time.
    fn unreadable(
        &self,
        digest: ImageDigest,
        pin: &Arc<()>,
        what: &str,
        error: io::Error,
    ) -> StoreError {
        let why = if error.kind() == io::ErrorKind::NotFound {
            format!("{what} is missing")
        } else if error.kind() == io::ErrorKind::InvalidInput {
            format!("{what} is no regular file of ours")
        } else {
            return StoreError::io("open an image")(error);
        };
        self.corrupt(digest, pin, why)
    }

    /// Sets aside the image with this pin, if it is still there.
    fn corrupt(&self, digest: ImageDigest, pin: &Arc<()>, why: String) -> StoreError {
        let _changes = self.changes();
        let found = {
            let index = self.index();
            let blob = index.blobs.get(&digest);
            blob.map(|blob| Arc::ptr_eq(&blob.pin, pin))
        };
        match found {
            // Its last owner gave it up in the meantime, or it was set aside.
            None => return StoreError::NotFound { digest },
            Some(true) => self.set_aside(digest, &why),
            Some(false) => {}
        }
        StoreError::Corrupt { digest, why }
    }
}

/// The first piece that is not what was committed.
fn first_difference(pinned: &Pinned) -> io::Result<Option<u64>> {
    let mut buffer = vec![0; PIECE_BYTES];
    let (mut at, mut left) = (0, pinned.size);
    for piece in pinned.pieces.iter() {
        let length = usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
        let bytes = buffer.get_mut(..length).unwrap_or_default();
        pinned.file.read_exact_at(bytes, at)?;
        if piece_digests(bytes) != [*piece] {
            return Ok(Some(at / PIECE_BYTES as u64));
        }
        at += length as u64;
        left -= length as u64;
    }
    Ok(None)
}
