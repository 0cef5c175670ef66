//! The store itself: its directories, its index, and the questions that need no file.
//!
//! Two locks. `changes` is held by who adds or takes away names of images, one at a time, and never while an image's bytes are read or written. `index` is held for
//! a look, and is taken after `changes` if both are needed. Writers, readers and questions need only `index`.
//!
//! **Invariant:** what is in the index is in the directory, unless somebody changes the directory behind the store's back.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use crate::{
    ImageDigest, ImageInfo, ImagePage, Limits, OwnerUsage, Quarantined, Report, StoreError, Usage,
    WriteState,
    disk::{Dir, Found, Steps, Unhindered},
    index::Index,
    key::{Key, Owner},
    witness::Witness,
};

/// A store of images on a directory. Clones are the same store.
#[derive(Debug, Clone)]
pub struct Store(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) limits: Limits,
    pub(crate) dirs: Dirs,
    pub(crate) witness: Witness,
    index: Mutex<Index>,
    changes: Mutex<()>,
    report: Mutex<Report>,
    /// Of the directory, for this process alone.
    _lock: File,
}

/// The store's directories.
#[derive(Debug)]
pub(crate) struct Dirs {
    pub(crate) blobs: Dir,
    pub(crate) uploads: Dir,
    pub(crate) quarantine: Dir,
    pub(crate) owners: Dir,
}

impl Store {
    /// Opens the store on `dir`, which is made if it is missing. What a crash left is cleared; images are indexed by size and sidecar, their bytes are not read.
    /// If the quota is less than what is there, the least recently used images go.
    ///
    /// # Errors
    /// [`StoreError::InUse`], or the kernel's.
    pub fn open(dir: &Path, limits: Limits) -> Result<Self, StoreError> {
        Self::open_witnessed(dir, limits, Witness::default())
    }

    /// The same, with somebody who is told of images that go by the store's own doing, also while it is opened.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_witnessed(
        dir: &Path,
        limits: Limits,
        witness: Witness,
    ) -> Result<Self, StoreError> {
        Self::open_both(dir, limits, Arc::new(Unhindered), witness)
    }

    /// The same, with somebody who is asked before each step.
    #[cfg(test)]
    pub(crate) fn open_with(
        dir: &Path,
        limits: Limits,
        steps: Arc<dyn Steps>,
    ) -> Result<Self, StoreError> {
        Self::open_both(dir, limits, steps, Witness::default())
    }

    fn open_both(
        dir: &Path,
        limits: Limits,
        steps: Arc<dyn Steps>,
        witness: Witness,
    ) -> Result<Self, StoreError> {
        let told = || StoreError::io("open its directory");
        let root = Dir::root(dir, steps).map_err(told())?;
        let path = dir.to_owned();
        let lock = root.lock("lock").map_err(told())?;
        let lock = lock.ok_or(StoreError::InUse { path })?;
        let dirs = Dirs {
            blobs: root.sub("blobs").map_err(told())?,
            uploads: root.sub("uploads").map_err(told())?,
            quarantine: root.sub("quarantine").map_err(told())?,
            owners: root.sub("owners").map_err(told())?,
        };
        let inner = Inner {
            limits,
            dirs,
            witness,
            index: Mutex::default(),
            changes: Mutex::default(),
            report: Mutex::default(),
            _lock: lock,
        };
        inner.recover()?;
        Ok(Self(Arc::new(inner)))
    }

    /// Those of `digests` that this owner has not, in the same order.
    ///
    /// # Errors
    /// [`StoreError::BadOwner`].
    pub fn find_missing(
        &self,
        owner: &str,
        digests: &[ImageDigest],
    ) -> Result<Vec<ImageDigest>, StoreError> {
        let owner = Owner::new(owner)?;
        let index = self.0.index();
        let missing = |digest: &ImageDigest| index.owned(&owner, *digest).is_err();
        Ok(digests.iter().copied().filter(missing).collect())
    }

    /// How far an upload is. An image that the owner has is complete, whichever upload it came by.
    ///
    /// # Errors
    /// [`StoreError::BadOwner`], [`StoreError::BadUploadId`].
    pub fn query(
        &self,
        owner: &str,
        digest: ImageDigest,
        upload_id: &str,
    ) -> Result<WriteState, StoreError> {
        let key = Key::new(owner, digest, upload_id)?;
        let seat = {
            let index = self.0.index();
            if let Ok((blob, _)) = index.owned(&key.owner, digest) {
                return Ok(WriteState::Complete { size: blob.size });
            }
            let upload = index.uploads.get(&key);
            upload.map(|upload| Arc::clone(&upload.seat))
        };
        let offset = seat.map(|seat| seat.offset());
        Ok(offset.map_or(WriteState::Unknown, |offset| WriteState::Partial { offset }))
    }

    /// An owner's image.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::BadOwner`].
    pub fn get(&self, owner: &str, digest: ImageDigest) -> Result<ImageInfo, StoreError> {
        let owner = Owner::new(owner)?;
        let index = self.0.index();
        let (blob, hold) = index.owned(&owner, digest)?;
        Ok(hold.info(digest, blob.size))
    }

    /// At most `limit` of an owner's images, those behind `after`.
    ///
    /// # Errors
    /// [`StoreError::BadOwner`].
    pub fn list(
        &self,
        owner: &str,
        after: Option<ImageDigest>,
        limit: usize,
    ) -> Result<ImagePage, StoreError> {
        let owner = Owner::new(owner)?;
        let index = self.0.index();
        let mut images = index
            .owned_by(&owner)
            .filter(|(digest, _, _)| Some(*digest) > after)
            .map(|(digest, blob, hold)| hold.info(digest, blob.size));
        let page: Vec<_> = images.by_ref().take(limit.max(1)).collect();
        let last = page.last().map(|image| image.digest);
        let next = images.next().and(last);
        Ok(ImagePage { images: page, next })
    }

    /// Gives an owner an image that another owner uploaded, if it is within `most`, the bytes of images and uploads that it may have. Nothing that it has
    /// goes for it: a gift costs nobody anything. The caller answers for who may.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if nobody has it, [`StoreError::OwnerQuota`], [`StoreError::BadOwner`], or the kernel's.
    pub fn grant(
        &self,
        owner: &str,
        digest: ImageDigest,
        most: Option<u64>,
    ) -> Result<(), StoreError> {
        let owner = Owner::new(owner)?;
        let _changes = self.0.changes();
        {
            let index = self.0.index();
            if index.owned(&owner, digest).is_ok() {
                return Ok(());
            }
            let blob = index.blobs.get(&digest);
            let need = blob.ok_or(StoreError::NotFound { digest })?.size;
            let usage = index.usage_of(&owner);
            if let Some(quota) = most
                && usage.used_bytes().saturating_add(need) > quota
            {
                return Err(usage.exceeded(need, quota));
            }
        }
        self.0.dirs.mark(&owner, digest)?;
        let now = SystemTime::now();
        self.0.index().add(digest, 0, owner.clone(), now);
        self.0.forget_left(&owner, digest);
        Ok(())
    }

    /// What is used of the store.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.0.index().usage(self.0.limits.quota_bytes)
    }

    /// What one owner uses.
    ///
    /// # Errors
    /// [`StoreError::BadOwner`].
    pub fn owner_usage(&self, owner: &str) -> Result<OwnerUsage, StoreError> {
        let owner = Owner::new(owner)?;
        Ok(self.0.index().usage_of(&owner))
    }

    /// What each owner uses that has anything, by name.
    #[must_use]
    pub fn owner_usages(&self) -> BTreeMap<String, OwnerUsage> {
        self.0.index().usages()
    }

    /// What was found that somebody may want to look at.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = self.0.noted().clone();
        let index = self.0.index();
        let quarantined = index.quarantined.iter().map(|aside| Quarantined {
            digest: aside.digest,
            why: aside.why.clone(),
        });
        report.quarantined = quarantined.collect();
        report
    }
}

impl Inner {
    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to add and take away names.
    pub(crate) fn changes(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn noted(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dirs {
    /// Puts on record, for good, that an owner has an image.
    pub(crate) fn mark(&self, owner: &Owner, digest: ImageDigest) -> Result<(), StoreError> {
        let told = || StoreError::io("put an owner on record");
        let dir = self.owners.sub(&owner.dir()).map_err(told())?;
        let name = digest.hex();
        if matches!(dir.find(&name).map_err(told())?, Found::File { .. }) {
            dir.set_modified(&name, SystemTime::now()).map_err(told())?;
        } else {
            dir.create(&name).map_err(told())?;
        }
        dir.sync().map_err(told())
    }

    /// Writes down that an owner uses an image now; not for good.
    pub(crate) fn note_use(&self, owner: &Owner, digest: ImageDigest) -> io::Result<()> {
        let dir = self.owners.sub(&owner.dir())?;
        dir.set_modified(&digest.hex(), SystemTime::now())
    }

    /// Takes an owner of an image from the record, for good.
    pub(crate) fn unmark(&self, owner: &Owner, digest: ImageDigest) -> Result<(), StoreError> {
        let told = || StoreError::io("take an owner from the record");
        let dir = self.owners.sub(&owner.dir()).map_err(told())?;
        if dir.remove(&digest.hex()).map_err(told())? {
            dir.sync().map_err(told())?;
        }
        Ok(())
    }
}
