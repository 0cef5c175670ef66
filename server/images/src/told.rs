//! What the store tells of itself.
//!
//! **Invariant:** plain values; nothing here holds an image.

use std::time::{Duration, SystemTime};

use crate::{ImageDigest, StoreError};

/// What a store may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest image, in bytes. Images above 4 TiB are refused whatever it says.
    pub max_image_bytes: u64,
    /// Bytes of all images, of uploads by their declared size, and of what is in quarantine. Sidecars (16 bytes per MiB) come on top.
    pub quota_bytes: u64,
    /// Uploads at one time, those that wait to be resumed included.
    pub max_uploads: usize,
    /// Of these, one owner's: with less than all, no owner takes the others' places.
    pub max_uploads_of_owner: usize,
    /// How long an upload is kept to which nothing was written.
    pub upload_idle: Duration,
}

/// An image that an owner has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInfo {
    /// Its name.
    pub digest: ImageDigest,
    /// Its bytes.
    pub size: u64,
    /// When this owner committed, was granted or opened it last; after a restart up to a minute less.
    pub last_used: SystemTime,
    /// This owner's launches that read it.
    pub pins: usize,
}

/// Some of an owner's images, by digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePage {
    /// In ascending order.
    pub images: Vec<ImageInfo>,
    /// After which one to go on, if there are more.
    pub next: Option<ImageDigest>,
}

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteState {
    /// The owner has the image.
    Complete {
        /// Bytes of the image.
        size: u64,
    },
    /// The upload can be resumed.
    Partial {
        /// Bytes that are there.
        offset: u64,
    },
    /// Nothing is there.
    Unknown,
}

/// What the store uses. Bytes count once, however many owners an image has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// The bound on the first three sums together.
    pub quota_bytes: u64,
    /// Of whole images.
    pub image_bytes: u64,
    /// Of uploads, as declared.
    pub upload_bytes: u64,
    /// Of corrupt images that were set aside.
    pub quarantined_bytes: u64,
    /// Of images that launches read, which are not evicted.
    pub pinned_bytes: u64,
    /// Whole images.
    pub images: usize,
    /// Uploads.
    pub uploads: usize,
    /// Corrupt images that were set aside.
    pub quarantined: usize,
    /// Images that launches read.
    pub pinned: usize,
}

impl Usage {
    /// Bytes that count against the quota.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.image_bytes
            .saturating_add(self.upload_bytes)
            .saturating_add(self.quarantined_bytes)
    }

    /// What is said where `need` more bytes are too many.
    pub(crate) fn exceeded(&self, need: u64) -> StoreError {
        StoreError::QuotaExceeded {
            need,
            used: self.used_bytes(),
            pinned: self.pinned_bytes,
            quota: self.quota_bytes,
        }
    }
}

/// What is there of one owner. An image of several owners counts in full for each of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnerUsage {
    /// Bytes of images.
    pub image_bytes: u64,
    /// Bytes of uploads, as declared.
    pub upload_bytes: u64,
    /// Bytes of images that its own launches read, which it does not lose for room.
    pub pinned_bytes: u64,
    /// Images.
    pub images: usize,
    /// Uploads.
    pub uploads: usize,
}

impl OwnerUsage {
    /// Bytes that count against the owner's quota.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.image_bytes.saturating_add(self.upload_bytes)
    }

    /// What is said where `need` more bytes are too many.
    pub(crate) fn exceeded(&self, need: u64, quota: u64) -> StoreError {
        StoreError::OwnerQuota {
            need,
            used: self.used_bytes(),
            pinned: self.pinned_bytes,
            quota,
        }
    }
}

/// What the store met with that somebody may want to look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Files that a crash had left behind, removed at the start.
    pub cleared: u64,
    /// Things in the store's directory that are not the store's; they were left alone. The first 16 that were met.
    pub foreign: Vec<String>,
    /// Corrupt images that are still in quarantine, newest last.
    pub quarantined: Vec<Quarantined>,
}

/// A corrupt image that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// What it was stored as.
    pub digest: ImageDigest,
    /// What was found.
    pub why: String,
}
