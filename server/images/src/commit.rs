//! How an upload becomes an image.
//!
//! | step                                                | a crash after it leaves                                     |
//! |-----------------------------------------------------|-------------------------------------------------------------|
//! | 1. all bytes are hashed; the digest is the declared | an upload that can be committed                             |
//! | 2. the bytes are forced to the disk                 | the same                                                    |
//! | 3. `uploads/K.pieces` is written and forced         | the same; the file is removed at the start                  |
//! | 4. it is moved to `blobs/H.pieces`                  | the same                                                    |
//! | 5. `owners/O/H` is made and forced                  | the same                                                    |
//! | 6. `uploads/K.bytes` is moved to `blobs/H`          | **the image**; power lost here may take the move back       |
//! | 7. `blobs` is forced                                | the image, for good                                         |
//! | 8. `uploads/K.about` is removed                     | the image                                                   |
//!
//! H are the digits of the digest, K those of the upload, O those of the owner. Where the image is there already, because another owner has it, steps 4, 6 and 7
//! are left out: the bytes were checked as any others, and are dropped.
//!
//! **Invariant:** under the name of an image are all of its bytes, or there is no such name.

use rustix::fs::OFlags;

use crate::{
    ImageDigest, ImageInfo, StoreError, Upload, disk::Found, key::Key, sidecar, store::Inner,
    upload,
};

impl Upload {
    /// Does all of the above; whatever comes of it, the upload is over.
    pub(crate) fn make_image(&mut self) -> Result<ImageInfo, StoreError> {
        let prepared = self.prepare();
        let _changes = self.store.changes();
        let published = prepared.and_then(|()| self.store.publish(&self.key, self.size));
        self.store.forget_upload(&self.key);
        if published.is_ok() {
            self.store.forget_left(&self.key.owner, self.key.digest);
        }
        published
    }

    /// Steps 1 to 3, for which no lock is held.
    fn prepare(&mut self) -> Result<(), StoreError> {
        let follower = self.follower.take().ok_or(StoreError::Dropped)?;
        let hashes = follower
            .finish()
            .map_err(StoreError::io("read an upload"))?;
        let (digest, found) = (self.key.digest, hashes.image);
        if found != digest {
            tracing::debug!(image = %digest, %found, "an upload has the bytes of another image");
            return Err(StoreError::DigestMismatch { digest, found });
        }
        let told = || StoreError::io("force an upload to the disk");
        let uploads = &self.store.dirs.uploads;
        uploads.sync_file(&self.file).map_err(told())?;
        let contents = sidecar::encode(digest, self.size, &hashes.pieces);
        let name = upload::sidecar(&self.key.stem());
        let file = uploads.write_new(&name, &contents).map_err(told())?;
        uploads.sync_file(&file).map_err(told())
    }
}

impl Inner {
    /// Steps 4 to 7. The caller has `changes`.
    fn publish(&self, key: &Key, size: u64) -> Result<ImageInfo, StoreError> {
        let digest = key.digest;
        if self.index().blobs.contains_key(&digest) {
            match self.look(key.digest, size)? {
                None => {
                    self.dirs.mark(&key.owner, digest)?;
                    return self.add(key, size);
                }
                // Here are good ones.
                Some(why) => self.set_aside(digest, &why),
            }
        }
        let told = || StoreError::io("move an upload into its place");
        let (stem, name) = (key.stem(), digest.hex());
        let (uploads, blobs) = (&self.dirs.uploads, &self.dirs.blobs);
        let whole = |found| matches!(found, Found::File { size: found, .. } if found == size);
        if !whole(uploads.find(&upload::bytes(&stem)).map_err(told())?) {
            return Err(StoreError::Dropped);
        }
        let beside = beside(&name);
        uploads
            .rename(&upload::sidecar(&stem), blobs, &beside)
            .map_err(told())?;
        let marked = self.dirs.mark(&key.owner, digest);
        let moved = marked.and_then(|()| {
            let moved = uploads.rename(&upload::bytes(&stem), blobs, &name);
            moved.and_then(|()| blobs.sync()).map_err(told())
        });
        if let Err(error) = moved {
            if let Err(error) = self.erase(digest, [&key.owner]) {
                tracing::error!(image = %digest, %error, "an image that was not committed stays until the next start");
            }
            return Err(error);
        }
        let committed = self.add(key, size)?;
        tracing::info!(image = %digest, bytes = size, owner = key.owner.name(), "an image is committed");
        Ok(committed)
    }

    /// What is wrong with an image's file, from the outside.
    fn look(&self, digest: ImageDigest, size: u64) -> Result<Option<String>, StoreError> {
        let found = self.dirs.blobs.find(&digest.hex());
        Ok(match found.map_err(StoreError::io("look at an image"))? {
            Found::File { size: found, .. } if found == size => {
                let beside = self.dirs.blobs.open(&beside(&digest.hex()), OFlags::RDONLY);
                let pieces = beside.and_then(|file| sidecar::read(digest, size, &file));
                let damaged = pieces.ok().flatten().is_none();
                damaged.then(|| "its sidecar is damaged".to_owned())
            }
            Found::File { size: found, .. } => {
                Some(format!("its file has {found:#x} bytes, not {size:#x}"))
            }
            Found::Nothing => Some("its file is missing".to_owned()),
            Found::Dir | Found::Foreign => Some("its file is no regular file of ours".to_owned()),
        })
    }

    fn add(&self, key: &Key, size: u64) -> Result<ImageInfo, StoreError> {
        let mut index = self.index();
        // In one look: the bytes count as the upload's, then as the image's, and never twice.
        index.uploads.remove(key);
        index.add(
            key.digest,
            size,
            key.owner.clone(),
            std::time::SystemTime::now(),
        );
        let (blob, hold) = index.owned(&key.owner, key.digest)?;
        Ok(hold.info(key.digest, blob.size))
    }
}

/// The name of an image's sidecar.
pub(crate) fn beside(name: &str) -> String {
    format!("{name}.pieces")
}
