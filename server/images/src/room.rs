//! Room for what comes: carries out what was planned.
//!
//! Somebody may come for what was to go. It stays, and the next plan is another.
//!
//! **Invariant:** what could not be removed is still in the index.

use crate::{
    ImageDigest, StoreError,
    blob::Blob,
    key::{Key, Owner},
    plan::{Need, Plan},
    store::Inner,
    witness::Gone,
};

/// How often room is made again because somebody came for what was to go.
const TRIES: usize = 4;

impl Inner {
    /// Makes room for a new upload, if any. The caller has `changes`.
    pub(crate) fn make_room(&self, need: Option<&Need<'_>>) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            let plan = Plan::new(&self.index(), &self.limits, need)?;
            if plan == Plan::default() {
                return Ok(());
            }
            self.carry_out(plan, need)?;
        }
        let usage = self.index().usage(self.limits.quota_bytes);
        Err(usage.exceeded(need.map_or(0, |need| need.bytes)))
    }

    fn carry_out(&self, plan: Plan, need: Option<&Need<'_>>) -> Result<(), StoreError> {
        let asides: Vec<_> = (self.index().quarantined)
            .drain(..plan.quarantined)
            .collect();
        for aside in asides {
            self.discard(&aside);
        }
        self.drop_left(plan.uploads);
        if let Some(need) = need {
            self.give_up(need.owner, plan.lost)?;
        }
        self.evict(plan.images)
    }

    fn drop_left(&self, mut uploads: Vec<Key>) {
        {
            let index = self.index();
            uploads.retain(|key| {
                let upload = index.uploads.get(key);
                upload.is_some_and(|upload| upload.seat.end_if(|desk| !desk.held))
            });
        }
        for key in uploads {
            tracing::info!(image = %key.digest, owner = key.owner.name(), "an upload that nobody writes is dropped for room");
            self.forget_upload(&key);
        }
    }

    /// Takes images from their owner, for room within its quota.
    fn give_up(&self, owner: &Owner, images: Vec<ImageDigest>) -> Result<(), StoreError> {
        for digest in images {
            let size = self.index().blobs.get(&digest).map(|blob| blob.size);
            match self.lose(owner, digest) {
                Ok(()) => {
                    self.witness.tell(Gone::Evicted, digest, size);
                    tracing::info!(image = %digest, owner = owner.name(), "an owner loses an image for room within its quota");
                }
                Err(StoreError::Pinned { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn evict(&self, images: Vec<ImageDigest>) -> Result<(), StoreError> {
        let images: Vec<(ImageDigest, Blob)> = {
            let mut index = self.index();
            let take = |digest: ImageDigest| {
                let blob = index.blobs.get(&digest);
                let idle = blob.is_some_and(|blob| blob.pins() == 0);
                idle.then(|| index.blobs.remove(&digest))
                    .flatten()
                    .map(|blob| (digest, blob))
            };
            images.into_iter().filter_map(take).collect()
        };
        let mut images = images.into_iter();
        while let Some((digest, blob)) = images.next() {
            tracing::info!(image = %digest, bytes = blob.size, "an image is evicted for room");
            if let Err(error) = self.erase(digest, blob.holds.keys()) {
                // What is still there, the index has.
                let mut index = self.index();
                index.blobs.insert(digest, blob);
                index.blobs.extend(images);
                return Err(error);
            }
            self.witness.tell(Gone::Evicted, digest, Some(blob.size));
        }
        Ok(())
    }
}
