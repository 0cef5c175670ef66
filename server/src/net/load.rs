//! How busy the server is, for who watches it.
//!
//! **Invariant:** looking changes nothing.

use std::sync::{Arc, Weak};

use super::server::Shared;

/// A way to look at a server, which it does not keep.
#[derive(Debug, Clone)]
pub struct Load(Weak<Shared>);

/// How a server is.
#[derive(Debug, Default)]
pub struct Seen {
    /// Connections.
    pub connections: u64,
    /// As many as there may be.
    pub max_connections: u64,
    /// Connections that have not begun to speak HTTP/2.
    pub half_open: u64,
    /// Parts of the receive budget: bytes of each, and how many are in use.
    pub budget: Vec<(&'static str, u64, u64)>,
    /// What peers did wrong so far, by kind.
    pub trouble: Vec<(&'static str, u64)>,
}

impl Load {
    pub(super) fn of(shared: &Arc<Shared>) -> Self {
        Self(Arc::downgrade(shared))
    }

    /// How it is now; all is nothing once the server is gone.
    #[must_use]
    pub fn look(&self) -> Seen {
        let Some(shared) = self.0.upgrade() else {
            return Seen::default();
        };
        let most = shared.limits.max_connections;
        let left = shared.permits.left();
        Seen {
            connections: most.saturating_sub(left) as u64,
            max_connections: most as u64,
            half_open: shared.half_open.taken() as u64,
            budget: shared.patience.budget.use_of_parts().into(),
            trouble: shared.patience.trouble.counts().into(),
        }
    }
}
