//! What goes for what comes, and in which order.
//!
//! For an owner that is over its quota: its own uploads that nobody writes, those that were left first coming first; then its hold on images that nothing of its
//! own reads, least recently used by it first. The bytes of such an image go if it was the only owner.
//!
//! For the store: corrupt images in quarantine, oldest first; then uploads that nobody writes, those that were left first coming first: what was only declared must
//! not cost anybody an image; then images that nobody reads, least recently used first, whoever's they are.
//!
//! **Invariant:** nothing goes if it is not enough, nothing that is pinned or being written goes at all, and no owner's quota costs another anything.

use crate::{
    ImageDigest, Limits, StoreError,
    index::Index,
    key::{Key, Owner},
};

/// A new upload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need<'a> {
    pub(crate) owner: &'a Owner,
    pub(crate) bytes: u64,
    /// Bytes that its owner may have.
    pub(crate) most: Option<u64>,
}

/// What goes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How many, oldest first.
    pub(crate) quarantined: usize,
    pub(crate) uploads: Vec<Key>,
    /// What the owner loses who needs the room.
    pub(crate) lost: Vec<ImageDigest>,
    pub(crate) images: Vec<ImageDigest>,
}

impl Plan {
    /// What has to go so that the store is within its limits, with what is needed, if anything.
    ///
    /// # Errors
    /// [`StoreError::OwnerQuota`], [`StoreError::TooManyOfOwner`], [`StoreError::QuotaExceeded`], [`StoreError::TooManyUploads`].
    pub(crate) fn new(
        index: &Index,
        limits: &Limits,
        need: Option<&Need<'_>>,
    ) -> Result<Self, StoreError> {
        let mut plan = Self::default();
        if let Some(need) = need {
            plan.make_room_of_owner(index, limits, need)?;
        }
        plan.make_room(index, limits, need)?;
        Ok(plan)
    }

    /// Brings the owner within its share.
    fn make_room_of_owner(
        &mut self,
        index: &Index,
        limits: &Limits,
        need: &Need<'_>,
    ) -> Result<(), StoreError> {
        let usage = index.usage_of(need.owner);
        let quota = need.most.unwrap_or(u64::MAX);
        let wanted = usage.used_bytes().saturating_add(need.bytes);
        let mut excess = wanted.saturating_sub(quota);
        let limit = limits.max_uploads_of_owner;
        let mut surplus = (usage.uploads + 1).saturating_sub(limit);
        let left = index.left().into_iter();
        for (key, size) in left.filter(|(key, _)| key.owner == *need.owner) {
            if excess == 0 && surplus == 0 {
                break;
            }
            self.uploads.push(key);
            excess = excess.saturating_sub(size);
            surplus = surplus.saturating_sub(1);
        }
        if surplus > 0 {
            return Err(StoreError::TooManyOfOwner { limit });
        }
        for (digest, size) in index.idle_of(need.owner) {
            if excess == 0 {
                break;
            }
            self.lost.push(digest);
            excess = excess.saturating_sub(size);
        }
        if excess > 0 {
            return Err(usage.exceeded(need.bytes, quota));
        }
        Ok(())
    }

    /// Brings the store within its limits, where what the owner spares does not.
    fn make_room(
        &mut self,
        index: &Index,
        limits: &Limits,
        need: Option<&Need<'_>>,
    ) -> Result<(), StoreError> {
        let usage = index.usage(limits.quota_bytes);
        let bytes = need.map_or(0, |need| need.bytes);
        let spared = need.map_or(0, |need| self.spared(index, need.owner));
        let used = usage.used_bytes().saturating_sub(spared);
        let mut excess = used
            .saturating_add(bytes)
            .saturating_sub(limits.quota_bytes);
        let uploads = usage.uploads - self.uploads.len() + usize::from(need.is_some());
        let mut surplus = uploads.saturating_sub(limits.max_uploads);
        let mut quarantined = index.quarantined.iter();
        while let (true, Some(aside)) = (excess > 0, quarantined.next()) {
            self.quarantined += 1;
            excess = excess.saturating_sub(aside.size);
        }
        for (key, size) in index.left() {
            if excess == 0 && surplus == 0 {
                break;
            }
            if !self.uploads.contains(&key) {
                self.uploads.push(key);
                excess = excess.saturating_sub(size);
                surplus = surplus.saturating_sub(1);
            }
        }
        if surplus > 0 {
            let limit = limits.max_uploads;
            return Err(StoreError::TooManyUploads { limit });
        }
        for (digest, size) in index.idle() {
            if excess == 0 {
                break;
            }
            // Those that go with their only owner are counted.
            if !need.is_some_and(|need| self.goes_with(index, need.owner, digest)) {
                self.images.push(digest);
                excess = excess.saturating_sub(size);
            }
        }
        match need {
            Some(_) if excess > 0 => Err(usage.exceeded(bytes)),
            Some(_) | None => Ok(()),
        }
    }

    /// Bytes of the store that are free when the owner has spared what it can.
    fn spared(&self, index: &Index, owner: &Owner) -> u64 {
        let uploads = self.uploads.iter().filter_map(|key| index.uploads.get(key));
        let lost = self.lost.iter();
        let images = lost
            .filter(|digest| self.goes_with(index, owner, **digest))
            .filter_map(|digest| index.blobs.get(digest));
        let sizes = uploads
            .map(|upload| upload.size)
            .chain(images.map(|blob| blob.size));
        crate::index::sum(sizes)
    }

    /// Whether an image goes because its only owner loses it.
    fn goes_with(&self, index: &Index, owner: &Owner, digest: ImageDigest) -> bool {
        let blob = index.blobs.get(&digest);
        self.lost.contains(&digest) && blob.is_some_and(|blob| blob.only(owner))
    }
}
