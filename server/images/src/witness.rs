//! Who is told when an image goes by the store's own doing.
//!
//! **Invariant:** is told after the image is gone from the index, and cannot keep it.

use std::{fmt, sync::Arc};

use crate::ImageDigest;

/// Why an image went that nobody deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// To make room: for all owners, or for the one that needs room within its quota.
    Evicted,
    /// It is corrupt, and set aside.
    Quarantined,
}

/// Is told of each image that goes so, with its bytes where they are known. Called with the store's own locks held: it must not ask the store.
#[derive(Clone)]
pub struct Witness(Arc<dyn Fn(Gone, ImageDigest, Option<u64>) + Send + Sync>);

impl Witness {
    /// One that does this.
    pub fn new(told: impl Fn(Gone, ImageDigest, Option<u64>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(told))
    }

    pub(crate) fn tell(&self, gone: Gone, digest: ImageDigest, size: Option<u64>) {
        (self.0)(gone, digest, size);
    }
}

impl Default for Witness {
    /// Nobody.
    fn default() -> Self {
        Self::new(|_, _, _| {})
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness(..)")
    }
}
