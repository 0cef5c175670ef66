//! What the store has, in memory: the directory is read once, when the store is opened.
//!
//! **Invariant:** no file is touched here, so its lock is held for no longer than a look takes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    ImageDigest, OwnerUsage, StoreError, Usage,
    blob::{Blob, Hold},
    key::{Key, Owner},
    seat::Seat,
    sidecar::Pieces,
};

/// How often a use is written down.
const NOTE: Duration = Duration::from_secs(60);

/// All that is there.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) blobs: BTreeMap<ImageDigest, Blob>,
    pub(crate) uploads: BTreeMap<Key, Upload>,
    /// Oldest first.
    pub(crate) quarantined: VecDeque<Aside>,
    /// Counts uses of all images.
    uses: u64,
}

/// An image that is taken up.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) size: u64,
    /// Of the image.
    pub(crate) pin: Arc<()>,
    /// Of its owner's hold.
    pub(crate) own: Arc<()>,
    pub(crate) pieces: Option<Pieces>,
    /// Whether it is time to write the use down.
    pub(crate) note: bool,
}

/// An upload.
#[derive(Debug)]
pub(crate) struct Upload {
    /// As declared; this much of the quota is its.
    pub(crate) size: u64,
    pub(crate) seat: Arc<Seat>,
}

/// A file in quarantine.
#[derive(Debug, Clone)]
pub(crate) struct Aside {
    pub(crate) number: u64,
    pub(crate) digest: ImageDigest,
    pub(crate) size: u64,
    pub(crate) why: String,
}

impl Aside {
    /// The name of its file.
    pub(crate) fn name(&self) -> String {
        format!("{:016x}-{}", self.number, self.digest.hex())
    }

    /// The other way round; `None` for any other name.
    pub(crate) fn from_name(name: &str, size: u64) -> Option<Self> {
        let (number, digest) = name.split_once('-')?;
        let digest = ImageDigest::from_hex(digest)?;
        let number: [u8; 8] = crate::digest::unhex(number)?.try_into().ok()?;
        let number = u64::from_be_bytes(number);
        let why = "found corrupt before this start".to_owned();
        Some(Self {
            number,
            digest,
            size,
            why,
        })
    }
}

impl Index {
    /// Adds an image that its owner used last, or one more owner of it. An owner that has it keeps it as it is.
    pub(crate) fn add(&mut self, digest: ImageDigest, size: u64, owner: Owner, used: SystemTime) {
        let last_use = self.next_use();
        let blob = self.blobs.entry(digest);
        let blob = blob.or_insert_with(|| Blob::new(size));
        let hold = blob.holds.entry(owner);
        hold.or_insert_with(|| Hold::new(last_use, used));
    }

    /// The image and this owner's hold on it, if it has one.
    pub(crate) fn owned(
        &self,
        owner: &Owner,
        digest: ImageDigest,
    ) -> Result<(&Blob, &Hold), StoreError> {
        let blob = self.blobs.get(&digest);
        let owned = blob.and_then(|blob| Some((blob, blob.holds.get(owner)?)));
        owned.ok_or(StoreError::NotFound { digest })
    }

    /// An owner takes its image up now.
    pub(crate) fn taken_up(
        &mut self,
        owner: &Owner,
        digest: ImageDigest,
    ) -> Result<Taken, StoreError> {
        let last_use = self.next_use();
        let blob = self.blobs.get_mut(&digest);
        let owned = blob.and_then(|blob| {
            let hold = blob.holds.get_mut(owner)?;
            (hold.last_use, hold.used) = (last_use, SystemTime::now());
            let note = hold.noted.is_none_or(|noted| noted.elapsed() >= NOTE);
            if note {
                hold.noted = Some(Instant::now());
            }
            Some(Taken {
                size: blob.size,
                pin: Arc::clone(&blob.pin),
                own: Arc::clone(&hold.pin),
                pieces: blob.pieces.upgrade(),
                note,
            })
        });
        owned.ok_or(StoreError::NotFound { digest })
    }

    /// An owner's images, by digest.
    pub(crate) fn owned_by<'a>(
        &'a self,
        owner: &'a Owner,
    ) -> impl Iterator<Item = (ImageDigest, &'a Blob, &'a Hold)> {
        let blobs = self.blobs.iter();
        blobs.filter_map(move |(digest, blob)| Some((*digest, blob, blob.holds.get(owner)?)))
    }

    /// Images that nobody reads, least recently used first.
    pub(crate) fn idle(&self) -> Vec<(ImageDigest, u64)> {
        let idle = self.blobs.iter().filter(|(_, blob)| blob.pins() == 0);
        in_order(idle.map(|(digest, blob)| (blob.last_use(), *digest, blob.size)))
    }

    /// An owner's images that nothing of its own reads, least recently used by it first.
    pub(crate) fn idle_of(&self, owner: &Owner) -> Vec<(ImageDigest, u64)> {
        let idle = self.owned_by(owner).filter(|(_, _, hold)| hold.pins() == 0);
        in_order(idle.map(|(digest, blob, hold)| (hold.last_use, digest, blob.size)))
    }

    /// Uploads that nobody writes, those that were left first coming first.
    pub(crate) fn left(&self) -> Vec<(Key, u64)> {
        let left = self.uploads.iter().filter_map(|(key, upload)| {
            let left = upload.seat.left()?;
            Some((left, key.clone(), upload.size))
        });
        let mut left: Vec<_> = left.collect();
        left.sort();
        left.into_iter().map(|(_, key, size)| (key, size)).collect()
    }

    /// Sums of what there is of an owner.
    pub(crate) fn usage_of(&self, owner: &Owner) -> OwnerUsage {
        let images = || self.owned_by(owner);
        let pinned = images().filter(|(_, _, hold)| hold.pins() > 0);
        let uploads = || self.uploads.iter().filter(|(key, _)| key.owner == *owner);
        OwnerUsage {
            image_bytes: sum(images().map(|(_, blob, _)| blob.size)),
            upload_bytes: sum(uploads().map(|(_, upload)| upload.size)),
            pinned_bytes: sum(pinned.map(|(_, blob, _)| blob.size)),
            images: images().count(),
            uploads: uploads().count(),
        }
    }

    /// Sums of what there is of each owner, in one pass over all of it.
    pub(crate) fn usages(&self) -> BTreeMap<String, OwnerUsage> {
        let mut usages: BTreeMap<String, OwnerUsage> = BTreeMap::new();
        for blob in self.blobs.values() {
            for (owner, hold) in &blob.holds {
                let usage = usages.entry(owner.name().to_owned()).or_default();
                usage.image_bytes = usage.image_bytes.saturating_add(blob.size);
                usage.images += 1;
                if hold.pins() > 0 {
                    usage.pinned_bytes = usage.pinned_bytes.saturating_add(blob.size);
                }
            }
        }
        for (key, upload) in &self.uploads {
            let usage = usages.entry(key.owner.name().to_owned()).or_default();
            usage.upload_bytes = usage.upload_bytes.saturating_add(upload.size);
            usage.uploads += 1;
        }
        usages
    }

    /// Sums of all that is there.
    pub(crate) fn usage(&self, quota_bytes: u64) -> Usage {
        let pinned = || self.blobs.values().filter(|blob| blob.pins() > 0);
        Usage {
            quota_bytes,
            image_bytes: sum(self.blobs.values().map(|blob| blob.size)),
            upload_bytes: sum(self.uploads.values().map(|upload| upload.size)),
            quarantined_bytes: sum(self.quarantined.iter().map(|aside| aside.size)),
            pinned_bytes: sum(pinned().map(|blob| blob.size)),
            images: self.blobs.len(),
            uploads: self.uploads.len(),
            quarantined: self.quarantined.len(),
            pinned: pinned().count(),
        }
    }

    fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }
}

/// Images and their bytes, by the number of their last use.
fn in_order(images: impl Iterator<Item = (u64, ImageDigest, u64)>) -> Vec<(ImageDigest, u64)> {
    let mut images: Vec<_> = images.collect();
    images.sort_unstable();
    let images = images.into_iter();
    images.map(|(_, digest, size)| (digest, size)).collect()
}

/// The sum, or the largest number there is.
pub(crate) fn sum(bytes: impl Iterator<Item = u64>) -> u64 {
    bytes.fold(0, u64::saturating_add)
}
