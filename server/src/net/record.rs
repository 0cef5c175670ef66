//! What the calls of one connection share: its hand, and its record.
//!
//! **Invariant:** a record is about one connection; that a client has several is known to nobody.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{budget::Standing, hand::Hand};

/// A connection, as its calls see it.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    pub(super) hand: Arc<Hand>,
    known: Arc<AtomicBool>,
}

impl Record {
    /// A message has come, whole.
    pub(super) fn delivered(&self) {
        self.known.store(true, Ordering::Relaxed);
    }

    /// A call had to be ended because the peer stalled.
    pub(super) fn stalled(&self) {
        self.known.store(false, Ordering::Relaxed);
    }

    /// How the connection stands.
    pub(super) fn standing(&self) -> Standing {
        if self.known.load(Ordering::Relaxed) {
            Standing::Known
        } else {
            Standing::Unknown
        }
    }
}
