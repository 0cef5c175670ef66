//! What happens between the chunks of a running extent.

use super::{Snapshot, Spent};

/// Told, and asked, between the chunks of a running extent. A closure that takes a [`Snapshot`] is told, and lets everything go on.
pub trait Between {
    /// A chunk is installed, and there is more of the extent.
    fn progress(&mut self, launch: Snapshot);

    /// How many pages may be handed to the platform before this is asked again, where the ledger holds `installed`. May wait. 0 means that the launch's stop
    /// flag is set.
    fn leave(&mut self, installed: u64, launch: &dyn Fn() -> Snapshot) -> u64;

    /// The extent is over, however it ended: what its time went to. Not called for one that was answered without looking at its pages.
    fn spent(&mut self, _spent: Spent) {}
}

impl<F: FnMut(Snapshot)> Between for F {
    fn progress(&mut self, launch: Snapshot) {
        self(launch);
    }

    fn leave(&mut self, _installed: u64, _launch: &dyn Fn() -> Snapshot) -> u64 {
        u64::MAX
    }
}
