//! What the store has, in memory: the directory is read once, when the store is opened.
//!
//! **Invariant:** no file is touched here, so its lock is held for no longer than a look takes.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Weak},
    time::{Instant, SystemTime},
};

use stagepages_digest::pieces::PieceDigest;

use crate::{
    ImageDigest, ImageInfo, StoreError, Usage,
    key::{Key, Owner},
    seat::Seat,
};

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

/// An image that is whole.
#[derive(Debug)]
pub(crate) struct Blob {
    pub(crate) size: u64,
    pub(crate) owners: BTreeSet<Owner>,
    /// The number of its last use: the least one of all is evicted first.
    last_use: u64,
    pub(crate) used: SystemTime,
    /// When its last use was written down.
    pub(crate) noted: Option<Instant>,
    /// One more than there are pins; also tells this blob from another of the same digest, later.
    pub(crate) pin: Arc<()>,
    /// While somebody has them.
    pub(crate) pieces: Weak<[PieceDigest]>,
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

impl Blob {
    /// Launches that read it.
    pub(crate) fn pins(&self) -> usize {
        // Pins are made under the index's lock: none comes while this is believed.
        Arc::strong_count(&self.pin) - 1
    }

    pub(crate) fn info(&self, digest: ImageDigest) -> ImageInfo {
        ImageInfo {
            digest,
            size: self.size,
            last_used: self.used,
            pins: self.pins(),
        }
    }
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
    /// Adds a blob that was used last, or one more owner of it.
    pub(crate) fn add(&mut self, digest: ImageDigest, size: u64, owner: Owner, used: SystemTime) {
        let last_use = self.next_use();
        let blob = self.blobs.entry(digest).or_insert_with(|| Blob {
            size,
            owners: BTreeSet::new(),
            last_use,
            used,
            noted: None,
            pin: Arc::new(()),
            pieces: Weak::<[PieceDigest; 0]>::new(),
        });
        blob.owners.insert(owner);
    }

    /// The blob, if it is this owner's.
    pub(crate) fn owned(&self, owner: &Owner, digest: ImageDigest) -> Result<&Blob, StoreError> {
        let blob = self.blobs.get(&digest);
        let blob = blob.filter(|blob| blob.owners.contains(owner));
        blob.ok_or(StoreError::NotFound { digest })
    }

    /// The same, used now.
    pub(crate) fn used(
        &mut self,
        owner: &Owner,
        digest: ImageDigest,
    ) -> Result<&mut Blob, StoreError> {
        let last_use = self.next_use();
        let blob = self.blobs.get_mut(&digest);
        let blob = blob.filter(|blob| blob.owners.contains(owner));
        let blob = blob.ok_or(StoreError::NotFound { digest })?;
        (blob.last_use, blob.used) = (last_use, SystemTime::now());
        Ok(blob)
    }

    /// Blobs that nobody reads, least recently used first.
    pub(crate) fn idle(&self) -> Vec<(ImageDigest, u64)> {
        let idle = self.blobs.iter().filter(|(_, blob)| blob.pins() == 0);
        let mut idle: Vec<_> = idle
            .map(|(digest, blob)| (blob.last_use, *digest, blob.size))
            .collect();
        idle.sort_unstable();
        idle.into_iter()
            .map(|(_, digest, size)| (digest, size))
            .collect()
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

/// The sum, or the largest number there is.
pub(crate) fn sum(bytes: impl Iterator<Item = u64>) -> u64 {
    bytes.fold(0, u64::saturating_add)
}
