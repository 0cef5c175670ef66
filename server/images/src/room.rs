//! Room for what comes: what may go for it, and in which order.
//!
//! Corrupt images in quarantine go first, oldest first; then uploads that nobody writes, those that were left first coming first: what was only declared must not
//! cost anybody an image; then images that nobody reads, least recently used first.
//!
//! **Invariant:** nothing goes if it is not enough, and nothing that is pinned or being written goes at all.

use crate::{
    ImageDigest, Limits, StoreError, Usage,
    index::{Blob, Index},
    key::Key,
    store::Inner,
    witness::Gone,
};

/// What goes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// How many, oldest first.
    quarantined: usize,
    uploads: Vec<Key>,
    images: Vec<ImageDigest>,
}

/// How often room is made again because somebody came for what was to go.
const TRIES: usize = 4;

impl Inner {
    /// Makes room for one more upload of `need` bytes, if any. The caller has `changes`.
    pub(crate) fn make_room(&self, need: Option<u64>) -> Result<(), StoreError> {
        let more = usize::from(need.is_some());
        let need = need.unwrap_or(0);
        for _ in 0..TRIES {
            let plan = plan(&self.index(), need, &self.limits, more)?;
            if plan == Plan::default() {
                return Ok(());
            }
            self.carry_out(plan)?;
        }
        let usage = self.index().usage(self.limits.quota_bytes);
        Err(exceeded(need, &usage))
    }

    fn carry_out(&self, plan: Plan) -> Result<(), StoreError> {
        let (asides, uploads, images) = {
            let mut index = self.index();
            let asides: Vec<_> = index.quarantined.drain(..plan.quarantined).collect();
            let mut uploads = plan.uploads;
            uploads.retain(|key| {
                let upload = index.uploads.get(key);
                upload.is_some_and(|upload| upload.seat.end_if(|desk| !desk.held))
            });
            // One that was pinned since the plan was made stays, and the next plan is another.
            let take = |digest: ImageDigest| {
                let idle = index
                    .blobs
                    .get(&digest)
                    .is_some_and(|blob| blob.pins() == 0);
                idle.then(|| index.blobs.remove(&digest))
                    .flatten()
                    .map(|blob| (digest, blob))
            };
            let images: Vec<(ImageDigest, Blob)> =
                plan.images.into_iter().filter_map(take).collect();
            (asides, uploads, images)
        };
        for aside in asides {
            self.discard(&aside);
        }
        for key in uploads {
            tracing::info!(image = %key.digest, owner = key.owner.name(), "an upload that nobody writes is dropped for room");
            self.forget_upload(&key);
        }
        let mut images = images.into_iter();
        while let Some((digest, blob)) = images.next() {
            tracing::info!(image = %digest, bytes = blob.size, "an image is evicted for room");
            if let Err(error) = self.erase(digest, &blob.owners) {
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

fn exceeded(need: u64, usage: &Usage) -> StoreError {
    StoreError::QuotaExceeded {
        need,
        used: usage.used_bytes(),
        pinned: usage.pinned_bytes,
        quota: usage.quota_bytes,
    }
}

/// What has to go so that `need` bytes, of `more` uploads, are within the quota.
fn plan(index: &Index, need: u64, limits: &Limits, more: usize) -> Result<Plan, StoreError> {
    let (quota, most) = (limits.quota_bytes, limits.max_uploads);
    let usage = index.usage(quota);
    let mut excess = usage
        .used_bytes()
        .saturating_add(need)
        .saturating_sub(quota);
    let mut surplus = (usage.uploads + more).saturating_sub(most);
    let mut plan = Plan::default();
    let mut quarantined = index.quarantined.iter();
    while let (true, Some(aside)) = (excess > 0, quarantined.next()) {
        plan.quarantined += 1;
        excess = excess.saturating_sub(aside.size);
    }
    for (key, size) in index.left() {
        if excess == 0 && surplus == 0 {
            break;
        }
        plan.uploads.push(key);
        excess = excess.saturating_sub(size);
        surplus = surplus.saturating_sub(1);
    }
    if surplus > 0 {
        return Err(StoreError::TooManyUploads { limit: most });
    }
    for (digest, size) in index.idle() {
        if excess == 0 {
            break;
        }
        plan.images.push(digest);
        excess = excess.saturating_sub(size);
    }
    if excess > 0 && more > 0 {
        return Err(exceeded(need, &usage));
    }
    Ok(plan)
}
