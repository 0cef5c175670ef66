//! An image that is whole, and what each of its owners does with it.
//!
//! An owner is told of its own uses and readers alone: from those of all it would learn that others have the same bytes. What may go for room goes by the uses and
//! readers of all.
//!
//! **Invariant:** nothing that an owner is told, and nothing that it may do with its image, depends on another owner.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::{Instant, SystemTime},
};

use stagepages_digest::pieces::PieceDigest;

use crate::{ImageDigest, ImageInfo, key::Owner};

/// An image that is whole.
#[derive(Debug)]
pub(crate) struct Blob {
    pub(crate) size: u64,
    pub(crate) holds: BTreeMap<Owner, Hold>,
    /// One more than there are readers of any kind; also tells this blob from another of the same digest, later.
    pub(crate) pin: Arc<()>,
    /// While somebody has them.
    pub(crate) pieces: Weak<[PieceDigest]>,
}

/// An owner's hold on an image.
#[derive(Debug)]
pub(crate) struct Hold {
    /// The number of this owner's last use.
    pub(crate) last_use: u64,
    pub(crate) used: SystemTime,
    /// When that was written down.
    pub(crate) noted: Option<Instant>,
    /// One more than this owner has readers.
    pub(crate) pin: Arc<()>,
}

impl Blob {
    pub(crate) fn new(size: u64) -> Self {
        Self {
            size,
            holds: BTreeMap::new(),
            pin: Arc::new(()),
            pieces: Weak::<[PieceDigest; 0]>::new(),
        }
    }

    /// Readers, whoever's they are.
    pub(crate) fn pins(&self) -> usize {
        others(&self.pin)
    }

    /// The number of the last use by any owner: the least one of all is evicted first.
    pub(crate) fn last_use(&self) -> u64 {
        let uses = self.holds.values().map(|hold| hold.last_use);
        uses.max().unwrap_or(0)
    }

    /// Whether this is its only owner.
    pub(crate) fn only(&self, owner: &Owner) -> bool {
        self.holds.len() == 1 && self.holds.contains_key(owner)
    }
}

impl Hold {
    pub(crate) fn new(last_use: u64, used: SystemTime) -> Self {
        Self {
            last_use,
            used,
            noted: None,
            pin: Arc::new(()),
        }
    }

    /// This owner's launches that read the image.
    pub(crate) fn pins(&self) -> usize {
        others(&self.pin)
    }

    /// What the owner is told.
    pub(crate) fn info(&self, digest: ImageDigest, size: u64) -> ImageInfo {
        ImageInfo {
            digest,
            size,
            last_used: self.used,
            pins: self.pins(),
        }
    }
}

/// Pins are made under the index's lock: none comes while this is believed.
fn others(pin: &Arc<()>) -> usize {
    Arc::strong_count(pin) - 1
}
