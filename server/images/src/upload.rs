//! Bytes that come in, until they are an image.
//!
//! They are in `uploads`, under a name made of owner, digest and upload id, so that two writers with different bytes under one digest never mix. The file's length
//! is the offset, also after a crash of the process; after a loss of power its bytes may be others, which the commit finds out.
//!
//! **Invariant:** what an upload may take was reserved before its first byte, and is given back when it is over.

use std::{fs::File, io, sync::Arc, time::Instant};

use bytes::Bytes;
use rustix::fs::OFlags;

use crate::{
    ImageDigest, ImageInfo, Store, StoreError,
    disk::Dir,
    follow::Follower,
    index,
    key::{Key, Owner},
    plan::Need,
    seat::{Phase, Seat},
    sidecar::MAX_IMAGE_BYTES,
    store::Inner,
};

/// What comes of [`Store::begin`].
#[derive(Debug)]
pub enum Begun {
    /// The owner has the image; nothing has to be sent.
    Complete {
        /// Bytes of the image.
        size: u64,
    },
    /// Send what is behind [`Upload::committed_offset`].
    Upload(Upload),
}

/// An upload, and the right to write it, until another writer begins the same one. Dropped, it can be resumed.
///
/// What is written is hashed by threads of its own, behind the writer: a write returns when the bytes are in the file, and few enough of them are still to be
/// hashed. Until then, buffers of at most 4 MiB (or the last one alone, if it is larger) are held.
#[derive(Debug)]
pub struct Upload {
    pub(crate) store: Arc<Inner>,
    pub(crate) key: Key,
    pub(crate) size: u64,
    pub(crate) file: File,
    pub(crate) follower: Option<Follower>,
    seat: Arc<Seat>,
    number: u64,
    offset: u64,
}

impl Store {
    /// Begins an upload of `size` bytes, or resumes it where it was left; who wrote it before is fenced off. Its size is reserved: what may go for it goes
    /// (see [`StoreError::QuotaExceeded`] for when that is not enough). When one is resumed, its bytes are hashed anew while more come.
    ///
    /// `most` are the bytes of images and uploads that the owner may have. Where this upload is more, what the owner can spare goes first (see
    /// [`StoreError::OwnerQuota`]). It is asked for a new upload only: a lower one than before takes nothing away by itself.
    ///
    /// # Errors
    /// Nothing changed: [`StoreError::Empty`], [`StoreError::TooLarge`], [`StoreError::OwnerQuota`], [`StoreError::TooManyOfOwner`], [`StoreError::QuotaExceeded`],
    /// [`StoreError::TooManyUploads`], [`StoreError::SizeConflict`], [`StoreError::Committing`], [`StoreError::BadOwner`], [`StoreError::BadUploadId`]. Begin again:
    /// [`StoreError::Dropped`], [`StoreError::Fenced`].
    pub fn begin(
        &self,
        owner: &str,
        digest: ImageDigest,
        size: u64,
        upload_id: &str,
        most: Option<u64>,
    ) -> Result<Begun, StoreError> {
        let key = Key::new(owner, digest, upload_id)?;
        let max = self.0.limits.max_image_bytes.min(MAX_IMAGE_BYTES);
        if size == 0 {
            return Err(StoreError::Empty);
        }
        if size > max {
            return Err(StoreError::TooLarge { size, max });
        }
        let seat = {
            let _changes = self.0.changes();
            if let Ok((blob, _)) = self.0.index().owned(&key.owner, digest) {
                return Ok(Begun::Complete { size: blob.size });
            }
            self.0.seat(&key, size, most)?
        };
        // May wait for a write: with no lock held.
        let number = seat.take()?;
        let upload = self.0.attach(&key, &seat, number);
        let (file, follower, offset) = upload.inspect_err(|_| seat.leave(number))?;
        Ok(Begun::Upload(Upload {
            store: Arc::clone(&self.0),
            key,
            size,
            file,
            follower: Some(follower),
            seat,
            number,
            offset,
        }))
    }

    /// Drops uploads to which nothing was written for [`Limits::upload_idle`](crate::Limits::upload_idle), also those whose writer still holds them, and gives
    /// their space back. Returns how many. To be called now and then; `now` is for tests.
    #[must_use = "it is worth a line in the log"]
    pub fn expire(&self, now: Instant) -> usize {
        let _changes = self.0.changes();
        let idle = self.0.limits.upload_idle;
        let mut expired = Vec::new();
        for (key, upload) in &self.0.index().uploads {
            let over = |last: Instant| now.saturating_duration_since(last) >= idle;
            if upload.seat.end_if(|desk| over(desk.last)) {
                expired.push(key.clone());
            }
        }
        for key in &expired {
            tracing::info!(image = %key.digest, owner = key.owner.name(), "an idle upload is dropped");
            self.0.forget_upload(key);
        }
        expired.len()
    }
}

impl Upload {
    /// Bytes that are there: where the next write goes.
    #[must_use]
    pub fn committed_offset(&self) -> u64 {
        self.offset
    }

    /// Bytes of the image, as declared.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Writes the next bytes. Returns the offset behind them.
    ///
    /// # Errors
    /// Nothing was written: [`StoreError::WrongOffset`], [`StoreError::PastEnd`], [`StoreError::Fenced`], [`StoreError::Dropped`]. The upload is gone:
    /// [`StoreError::DiskFull`], [`StoreError::Io`].
    pub fn write(&mut self, offset: u64, bytes: &Bytes) -> Result<u64, StoreError> {
        let end = self.extend(offset, bytes.len() as u64, |dir, file, _| {
            dir.write_at(file, bytes, offset)
        })?;
        if let Some(follower) = &self.follower {
            follower.written(bytes);
        }
        Ok(end)
    }

    /// Makes the next `len` bytes zeros. They cost no disk; they are hashed as any others.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_zeros(&mut self, offset: u64, len: u64) -> Result<u64, StoreError> {
        let end = self.extend(offset, len, |dir, file, end| dir.set_len(file, end))?;
        if let Some(follower) = &self.follower {
            follower.zeros(len);
        }
        Ok(end)
    }

    /// Makes an image of it, which is there for good when this returns. Waits until all is hashed and on the disk.
    ///
    /// # Errors
    /// It can be resumed: [`StoreError::Incomplete`]. Another has it: [`StoreError::Fenced`]. The upload is gone: all others.
    pub fn commit(mut self) -> Result<ImageInfo, StoreError> {
        {
            let mut desk = self.seat.sit(self.number)?;
            if desk.offset != self.size {
                return Err(StoreError::Incomplete {
                    committed: desk.offset,
                    size: self.size,
                });
            }
            desk.phase = Phase::Committing;
        }
        let committed = self.make_image();
        self.seat.end();
        committed
    }

    fn extend(
        &mut self,
        offset: u64,
        len: u64,
        step: impl FnOnce(&Dir, &File, u64) -> io::Result<()>,
    ) -> Result<u64, StoreError> {
        let mut desk = self.seat.sit(self.number)?;
        let committed = desk.offset;
        if offset != committed {
            return Err(StoreError::WrongOffset { offset, committed });
        }
        let (end, size) = (offset.saturating_add(len), self.size);
        if end > size {
            return Err(StoreError::PastEnd { end, size });
        }
        if let Err(error) = step(&self.store.dirs.uploads, &self.file, end) {
            desk.phase = Phase::Over;
            drop(desk);
            let _changes = self.store.changes();
            self.store.forget_upload(&self.key);
            return Err(StoreError::io("write an upload")(error));
        }
        (desk.offset, desk.last) = (end, Instant::now());
        drop(desk);
        self.offset = end;
        Ok(end)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.seat.leave(self.number);
    }
}

impl Inner {
    /// The seat of an upload, which is made if it is new. The caller has `changes`.
    fn seat(&self, key: &Key, size: u64, most: Option<u64>) -> Result<Arc<Seat>, StoreError> {
        if let Some(upload) = self.index().uploads.get(key) {
            let before = upload.size;
            if before != size {
                return Err(StoreError::SizeConflict { size, before });
            }
            return Ok(Arc::clone(&upload.seat));
        }
        self.make_room(Some(&Need {
            owner: &key.owner,
            bytes: size,
            most,
        }))?;
        let seat = Arc::new(Seat::new(0, Instant::now()));
        let upload = index::Upload {
            size,
            seat: Arc::clone(&seat),
        };
        self.index().uploads.insert(key.clone(), upload);
        let stem = key.stem();
        let uploads = &self.dirs.uploads;
        let made = uploads
            .write_new(&about(&stem), &key.record(size))
            .and_then(|_| uploads.write_new(&bytes(&stem), &[]));
        if let Err(error) = made {
            self.forget_upload(key);
            return Err(StoreError::io("begin an upload")(error));
        }
        Ok(seat)
    }

    /// Opens an upload's file for who holds the seat by this number, and begins to hash it. Also tells how many bytes are there.
    fn attach(
        &self,
        key: &Key,
        seat: &Seat,
        number: u64,
    ) -> Result<(File, Follower, u64), StoreError> {
        let told = || StoreError::io("open an upload");
        // Nobody writes meanwhile, so the length is the offset.
        let mut desk = seat.sit(number)?;
        let offset = desk.offset;
        let opened = self.dirs.uploads.open(&bytes(&key.stem()), OFlags::RDWR);
        let file = match opened.and_then(|file| Ok((file.metadata()?.len(), file))) {
            Ok((length, file)) if length == offset => file,
            other => {
                tracing::error!(image = %key.digest, offset, found = ?other, "an upload was changed behind the store's back; it is dropped");
                desk.phase = Phase::Over;
                drop(desk);
                let _changes = self.changes();
                self.forget_upload(key);
                return Err(StoreError::Dropped);
            }
        };
        drop(desk);
        let follower = Follower::start(&file, offset).map_err(told())?;
        Ok((file, follower, offset))
    }

    /// Drops uploads, left by an owner, of an image that it has by now. The caller has `changes`.
    pub(crate) fn forget_left(&self, owner: &Owner, digest: ImageDigest) {
        let mut left: Vec<_> = self.index().left();
        left.retain(|(key, _)| key.owner == *owner && key.digest == digest);
        for (key, _) in left {
            let ended = {
                let index = self.index();
                let upload = index.uploads.get(&key);
                upload.is_some_and(|upload| upload.seat.end_if(|desk| !desk.held))
            };
            if ended {
                self.forget_upload(&key);
            }
        }
    }

    /// Drops what there is of an upload. The caller has `changes`, and nobody writes it. What cannot be removed is tried again at the next start.
    pub(crate) fn forget_upload(&self, key: &Key) {
        self.index().uploads.remove(key);
        let stem = key.stem();
        for name in [bytes(&stem), sidecar(&stem), about(&stem)] {
            if let Err(error) = self.dirs.uploads.remove(&name) {
                tracing::error!(name, %error, "what is left of an upload stays until the next start");
            }
        }
    }
}

/// The name of an upload's bytes.
pub(crate) fn bytes(stem: &str) -> String {
    format!("{stem}.bytes")
}

/// The name of what is on record of an upload.
pub(crate) fn about(stem: &str) -> String {
    format!("{stem}.about")
}

/// The name of the sidecar that is being made of an upload.
pub(crate) fn sidecar(stem: &str) -> String {
    format!("{stem}.pieces")
}
