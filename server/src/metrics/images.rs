//! What becomes of stored images.
//!
//! **Invariant:** counts only; how much is stored is read off the store.

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use stagepages_images::Gone;

type One = [(&'static str, &'static str); 1];

/// See the module.
#[derive(Debug)]
pub struct Images {
    writes: Counter,
    lookups: Family<One, Counter>,
    removed: Family<One, Counter>,
}

impl Images {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let images = Self {
            writes: Counter::default(),
            lookups: Family::default(),
            removed: Family::default(),
        };
        registry.register(
            "image_writes",
            "Images that were written and committed",
            images.writes.clone(),
        );
        registry.register(
            "image_lookups",
            "Images that were asked for, to be found missing or to be staged from, by whether the tenant had them",
            images.lookups.clone(),
        );
        registry.register(
            "images_removed",
            "Images that went without being deleted: for room, or because they were found corrupt",
            images.removed.clone(),
        );
        for result in ["hit", "miss"] {
            drop(images.lookups.get_or_create(&[("result", result)]));
        }
        for cause in ["evicted", "quarantined"] {
            drop(images.removed.get_or_create(&[("cause", cause)]));
        }
        images
    }

    /// One was committed.
    pub fn written(&self) {
        self.writes.inc();
    }

    /// Some were asked for.
    pub fn looked_up(&self, hits: usize, misses: usize) {
        for (result, count) in [("hit", hits), ("miss", misses)] {
            let counter = self.lookups.get_or_create(&[("result", result)]);
            counter.inc_by(count as u64);
        }
    }

    /// One went.
    pub fn gone(&self, gone: Gone) {
        let cause = match gone {
            Gone::Evicted => "evicted",
            Gone::Quarantined => "quarantined",
        };
        self.removed.get_or_create(&[("cause", cause)]).inc();
    }
}
