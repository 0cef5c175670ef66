//! What a tenant, or all of them together, may take.
//!
//! **Invariant:** a bound that is not set is no bound of its own; the daemon's configuration bounds everything all the same.

use serde::Deserialize;

/// Bounds of one tenant, or of all. Zero allows none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// Launches, ended ones included until they are deleted.
    pub launches: Option<u64>,
    /// Sum of the sizes of the memory regions of launches that are not over, in bytes.
    pub memory_bytes: Option<u64>,
    /// Pages staged into launches that are not over, in bytes.
    pub staged_bytes: Option<u64>,
    /// Stored images and unfinished writes, in bytes; an image that several tenants have counts for each.
    pub image_bytes: Option<u64>,
    /// Calls at one time; each is a stream of HTTP/2.
    pub streams: Option<u64>,
    /// Calls in a second, on average; as many at once.
    pub calls_per_second: Option<u64>,
}

impl Quota {
    /// What `self` bounds, and where it does not, what `weaker` bounds.
    #[must_use]
    pub fn or(self, weaker: Self) -> Self {
        Self {
            launches: self.launches.or(weaker.launches),
            memory_bytes: self.memory_bytes.or(weaker.memory_bytes),
            staged_bytes: self.staged_bytes.or(weaker.staged_bytes),
            image_bytes: self.image_bytes.or(weaker.image_bytes),
            streams: self.streams.or(weaker.streams),
            calls_per_second: self.calls_per_second.or(weaker.calls_per_second),
        }
    }
}
