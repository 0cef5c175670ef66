//! Images that go: deleted, evicted, or set aside.
//!
//! An image's file goes first: from then on it is absent, and what else is left of it is cleared at the next start. An image that is set aside loses its sidecar
//! first, without which no start takes it for an image. An owner that gives up what others have too loses its record, and nothing else changes.
//!
//! **Invariant:** what was set aside is never given out again, and at most four such files are kept.

use crate::{
    ImageDigest, Store, StoreError,
    blob::{Blob, Hold},
    commit::beside,
    disk::Found,
    index::Aside,
    key::Owner,
    store::Inner,
    witness::Gone,
};

/// What an owner gives up.
enum GivenUp {
    /// Nobody else has it.
    Image(Blob),
    Hold(Hold),
}

/// Files that are kept in quarantine, the newest ones.
const MOST_ASIDE: usize = 4;

impl Store {
    /// Takes an image from an owner, unless its own launches read it. Its bytes go with its last owner.
    ///
    /// # Errors
    /// Nothing changed: [`StoreError::NotFound`], [`StoreError::Pinned`], [`StoreError::BadOwner`], or the kernel's.
    pub fn delete(&self, owner: &str, digest: ImageDigest) -> Result<(), StoreError> {
        let owner = Owner::new(owner)?;
        let _changes = self.0.changes();
        self.0.lose(&owner, digest)
    }

    /// Moves an image aside that was found corrupt, so that it is never given out again. What has it open keeps its file. One that is not there is no error.
    pub fn quarantine(&self, digest: ImageDigest, why: &str) {
        let _changes = self.0.changes();
        if self.0.index().blobs.contains_key(&digest) {
            self.0.set_aside(digest, why);
        }
    }
}

impl Inner {
    /// Takes an image from an owner, and its bytes with the last one. The caller has `changes`.
    ///
    /// # Errors
    /// Nothing changed: [`StoreError::NotFound`], [`StoreError::Pinned`], or the kernel's.
    pub(crate) fn lose(&self, owner: &Owner, digest: ImageDigest) -> Result<(), StoreError> {
        let gone = {
            let mut index = self.index();
            let (blob, hold) = index.owned(owner, digest)?;
            let (pins, last) = (hold.pins(), blob.only(owner));
            if pins > 0 {
                return Err(StoreError::Pinned { digest, pins });
            }
            // From here on nobody takes it up for this owner.
            if last {
                index.blobs.remove(&digest).map(GivenUp::Image)
            } else {
                let blob = index.blobs.get_mut(&digest);
                blob.and_then(|blob| blob.holds.remove(owner))
                    .map(GivenUp::Hold)
            }
        };
        // What is still there, the index has.
        match gone {
            Some(GivenUp::Image(blob)) => self
                .erase(digest, blob.holds.keys())
                .inspect_err(|_| drop(self.index().blobs.insert(digest, blob))),
            Some(GivenUp::Hold(hold)) => self.dirs.unmark(owner, digest).inspect_err(|_| {
                if let Some(blob) = self.index().blobs.get_mut(&digest) {
                    blob.holds.insert(owner.clone(), hold);
                }
            }),
            None => Err(StoreError::NotFound { digest }),
        }
    }

    /// Removes an image that is not in the index any more. The caller has `changes`.
    ///
    /// # Errors
    /// The kernel's: the image's file is still there.
    pub(crate) fn erase<'a>(
        &self,
        digest: ImageDigest,
        owners: impl IntoIterator<Item = &'a Owner>,
    ) -> Result<(), StoreError> {
        let (blobs, name) = (&self.dirs.blobs, digest.hex());
        let told = || StoreError::io("remove an image");
        match blobs.find(&name).map_err(told())? {
            Found::File { .. } => {
                blobs.remove(&name).map_err(told())?;
            }
            Found::Nothing => {}
            // Somebody took the image's place. What is there is not the store's.
            Found::Dir | Found::Foreign => self.foreign("blobs", &name),
        }
        self.strip(digest, owners);
        Ok(())
    }

    /// Moves an image aside that is in the index. The caller has `changes`.
    pub(crate) fn set_aside(&self, digest: ImageDigest, why: &str) {
        tracing::error!(image = %digest, why, "an image is corrupt; it is set aside and not given out again");
        let (blob, number) = {
            let mut index = self.index();
            let last = index.quarantined.back().map(|aside| aside.number);
            (index.blobs.remove(&digest), last.map_or(0, |last| last + 1))
        };
        let size = blob.as_ref().map(|blob| blob.size);
        self.witness.tell(Gone::Quarantined, digest, size);
        self.strip(digest, blob.iter().flat_map(|blob| blob.holds.keys()));
        let (blobs, name) = (&self.dirs.blobs, digest.hex());
        let Ok(Found::File { size, .. }) = blobs.find(&name) else {
            // There is nothing to keep.
            return;
        };
        let why = why.to_owned();
        let aside = Aside {
            number,
            digest,
            size,
            why,
        };
        let (to, place) = (&self.dirs.quarantine, aside.name());
        let moved = blobs.rename(&name, to, &place).and_then(|()| to.sync());
        if let Err(error) = moved.and_then(|()| blobs.sync()) {
            tracing::error!(image = %digest, %error, "a corrupt image could not be moved aside for good");
        }
        self.index().quarantined.push_back(aside);
        self.trim_quarantine();
    }

    /// Removes all but the newest files in quarantine.
    pub(crate) fn trim_quarantine(&self) {
        let surplus: Vec<_> = {
            let mut index = self.index();
            let surplus = index.quarantined.len().saturating_sub(MOST_ASIDE);
            index.quarantined.drain(..surplus).collect()
        };
        for aside in surplus {
            self.discard(&aside);
        }
    }

    /// Removes a file from quarantine.
    pub(crate) fn discard(&self, aside: &Aside) {
        if let Err(error) = self.dirs.quarantine.remove(&aside.name()) {
            tracing::error!(image = %aside.digest, %error, "a corrupt image stays in quarantine until the next start");
        }
    }

    /// Removes what is beside an image. What cannot be removed is tried again at the next start.
    fn strip<'a>(&self, digest: ImageDigest, owners: impl IntoIterator<Item = &'a Owner>) {
        let blobs = &self.dirs.blobs;
        let removed = blobs.remove(&beside(&digest.hex()));
        if let Err(error) = removed.and_then(|_| blobs.sync()) {
            tracing::error!(image = %digest, %error, "the sidecar of an image that is gone stays until the next start");
        }
        for owner in owners {
            if let Err(error) = self.dirs.unmark(owner, digest) {
                tracing::error!(image = %digest, owner = owner.name(), %error, "the owner of an image that is gone stays on record until the next start");
            }
        }
    }
}
