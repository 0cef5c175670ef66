//! Which launches want the firmware, in order: by class, then by arrival.
//!
//! **Invariant:** every launch that is filed has demand; one that stalled is filed as waiting, but never as ready.

use std::collections::BTreeMap;

use crate::Class;

/// The order of launches: class first, then arrival.
pub(crate) type Rank = (Class, u64);

/// Launches with demand.
#[derive(Debug)]
pub(crate) struct Queue<K> {
    waiting: BTreeMap<Rank, K>,
    ready: BTreeMap<Rank, K>,
}

impl<K: Copy> Queue<K> {
    pub(crate) fn new() -> Self {
        Self {
            waiting: BTreeMap::new(),
            ready: BTreeMap::new(),
        }
    }

    /// Files a launch anew: whether it waits, and whether it could be served.
    pub(crate) fn file(&mut self, rank: Rank, key: K, waiting: bool, stalled: bool) {
        set(&mut self.waiting, rank, key, waiting);
        set(&mut self.ready, rank, key, waiting && !stalled);
    }

    /// Launches with demand.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// All launches with demand, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Rank, K)> + '_ {
        self.waiting.iter().map(|(rank, key)| (*rank, *key))
    }

    /// The first of a class that can be served.
    pub(crate) fn head(&self, class: Class) -> Option<(Rank, K)> {
        let (rank, key) = self.ready.range((class, 0)..=(class, u64::MAX)).next()?;
        Some((*rank, *key))
    }

    /// Whether somebody other than `rank` can be served.
    pub(crate) fn has_other_than(&self, rank: Rank) -> bool {
        self.ready.len() > usize::from(self.ready.contains_key(&rank))
    }
}

fn set<K>(map: &mut BTreeMap<Rank, K>, rank: Rank, key: K, present: bool) {
    if present {
        map.insert(rank, key);
    } else {
        map.remove(&rank);
    }
}
