//! What the calls of one connection share: its hand, and its record.
//!
//! **Invariant:** a record is about one connection; that a client has several is known to nobody.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{budget::Standing, hand::Hand, permits::Crowd};

/// A connection, as its calls see it.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) hand: Arc<Hand>,
    pub(super) crowd: Crowd,
    known: Arc<AtomicBool>,
}

impl Default for Record {
    fn default() -> Self {
        Self::new(Crowd::Listen)
    }
}

impl Record {
    /// Of a new connection.
    pub(super) fn new(crowd: Crowd) -> Self {
        Self {
            hand: Arc::default(),
            crowd,
            known: Arc::default(),
        }
    }

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
        match self.crowd {
            Crowd::Devices => Standing::Device,
            Crowd::Listen if self.known.load(Ordering::Relaxed) => Standing::Known,
            Crowd::Listen => Standing::Unknown,
        }
    }
}
