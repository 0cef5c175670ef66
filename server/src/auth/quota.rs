//! What a tenant, or all of them together, may take.
//!
//! **Invariant:** a bound that is not set is no bound of its own; the daemon's configuration bounds everything all the same.

use serde::Deserialize;

use super::tenant::Tenant;
use crate::rpc::{reason::Reason, status::ApiError};

/// Bounds of one tenant. Zero allows none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// Launches, ended ones included until they are deleted.
    pub launches: Option<u64>,
    /// Of these, those that are not over, or whose hosts are not gone yet.
    pub live_launches: Option<u64>,
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

/// Bounds of all tenants together, beside those of the configuration (`max_launches`, `image_quota_bytes`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Total {
    /// As in [`Quota`].
    pub memory_bytes: Option<u64>,
    /// As in [`Quota`].
    pub staged_bytes: Option<u64>,
    /// As in [`Quota`].
    pub streams: Option<u64>,
    /// As in [`Quota`].
    pub calls_per_second: Option<u64>,
}

impl Quota {
    /// What `self` bounds, and where it does not, what `weaker` bounds.
    #[must_use]
    pub fn or(self, weaker: Self) -> Self {
        Self {
            launches: self.launches.or(weaker.launches),
            live_launches: self.live_launches.or(weaker.live_launches),
            memory_bytes: self.memory_bytes.or(weaker.memory_bytes),
            staged_bytes: self.staged_bytes.or(weaker.staged_bytes),
            image_bytes: self.image_bytes.or(weaker.image_bytes),
            streams: self.streams.or(weaker.streams),
            calls_per_second: self.calls_per_second.or(weaker.calls_per_second),
        }
    }

    /// The smaller of each two bounds.
    #[must_use]
    pub fn within(self, most: Self) -> Self {
        let least = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
        Self {
            launches: least(self.launches, most.launches),
            live_launches: least(self.live_launches, most.live_launches),
            memory_bytes: least(self.memory_bytes, most.memory_bytes),
            staged_bytes: least(self.staged_bytes, most.staged_bytes),
            image_bytes: least(self.image_bytes, most.image_bytes),
            streams: least(self.streams, most.streams),
            calls_per_second: least(self.calls_per_second, most.calls_per_second),
        }
    }
}

/// What is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// [`Quota::launches`].
    Launches,
    /// [`Quota::live_launches`].
    LiveLaunches,
    /// [`Quota::memory_bytes`].
    MemoryBytes,
    /// [`Quota::staged_bytes`].
    StagedBytes,
    /// [`Quota::image_bytes`].
    ImageBytes,
    /// [`Quota::streams`].
    Streams,
    /// [`Quota::calls_per_second`].
    CallsPerSecond,
}

impl Resource {
    /// As the policy writes it.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Launches => "launches",
            Self::LiveLaunches => "live_launches",
            Self::MemoryBytes => "memory_bytes",
            Self::StagedBytes => "staged_bytes",
            Self::ImageBytes => "image_bytes",
            Self::Streams => "streams",
            Self::CallsPerSecond => "calls_per_second",
        }
    }

    /// How a caller gets room by itself.
    fn way_out(self) -> &'static str {
        match self {
            Self::Launches => "delete launches that are over",
            Self::LiveLaunches | Self::MemoryBytes | Self::StagedBytes => "abort or stop launches",
            Self::ImageBytes => "delete images that no call stages from, or end unfinished writes",
            Self::Streams => "wait until calls have ended",
            Self::CallsPerSecond => "call less often",
        }
    }
}

/// What a caller's tenant, and all of them, may take at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Who.
    pub tenant: Tenant,
    /// By itself.
    pub own: Quota,
    /// With all others.
    pub total: Total,
}

impl Bounds {
    /// Whether the tenant may have `wanted` more of something beside the `used` that it has.
    ///
    /// # Errors
    /// QUOTA_EXCEEDED.
    pub fn check_own(
        &self,
        what: Resource,
        most: Option<u64>,
        used: u64,
        wanted: u64,
    ) -> Result<(), ApiError> {
        let whose = format!("tenant.{}", self.tenant);
        check(&whose, what, most, used, wanted)
    }

    /// The refusal of `wanted` more, where somebody else has counted.
    #[must_use]
    pub fn exceeded_own(&self, what: Resource, most: u64, used: u64, wanted: u64) -> ApiError {
        let whose = format!("tenant.{}", self.tenant);
        exceeded(&whose, what, most, used, wanted)
    }

    /// The refusal of a gift to this tenant. The giver is not told what the tenant has, nor what it may have.
    #[must_use]
    pub fn no_room_for_gift(&self, what: Resource, wanted: u64) -> ApiError {
        let subject = format!("tenant.{}.{}", self.tenant, what.key());
        let text = format!(
            "{subject} leaves no room for {wanted} more; have that tenant {}, or ask who keeps the daemon's policy for more",
            what.way_out()
        );
        ApiError::new(Reason::QuotaExceeded, text.clone())
            .meta("quota", &subject)
            .quota(&subject, &text)
    }

    /// Whether all tenants together may.
    ///
    /// # Errors
    /// QUOTA_EXCEEDED.
    pub fn check_total(
        what: Resource,
        most: Option<u64>,
        used: u64,
        wanted: u64,
    ) -> Result<(), ApiError> {
        check("total", what, most, used, wanted)
    }
}

fn check(
    whose: &str,
    what: Resource,
    most: Option<u64>,
    used: u64,
    wanted: u64,
) -> Result<(), ApiError> {
    match most {
        Some(most) if used.saturating_add(wanted) > most => {
            Err(exceeded(whose, what, most, used, wanted))
        }
        Some(_) | None => Ok(()),
    }
}

/// The refusal: which bound, how much, and how to get more.
pub(super) fn exceeded(whose: &str, what: Resource, most: u64, used: u64, wanted: u64) -> ApiError {
    let subject = format!("{whose}.{}", what.key());
    let text = format!(
        "{subject} is {most}, {used} are in use, and {wanted} more are wanted; {}, or ask who keeps the daemon's policy for more",
        what.way_out()
    );
    ApiError::new(Reason::QuotaExceeded, text.clone())
        .meta("quota", &subject)
        .quota(&subject, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_which_how_much_and_how_to_get_more() {
        let bounds = Bounds {
            tenant: "blue".parse().unwrap(),
            own: Quota::default(),
            total: Total::default(),
        };
        bounds.check_own(Resource::Launches, Some(2), 1, 1).unwrap();
        bounds
            .check_own(Resource::Launches, None, u64::MAX, u64::MAX)
            .unwrap();
        let error = bounds
            .check_own(Resource::Launches, Some(2), 2, 1)
            .unwrap_err();
        assert_eq!(error.reason(), Reason::QuotaExceeded);
        let text = error.to_string();
        for part in [
            "tenant.blue.launches is 2",
            "2 are in use",
            "delete launches",
            "policy",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let gift = bounds
            .no_room_for_gift(Resource::ImageBytes, 4096)
            .to_string();
        assert!(
            gift.contains("tenant.blue.image_bytes leaves no room for 4096 more"),
            "{gift}"
        );
        let error = Bounds::check_total(Resource::StagedBytes, Some(5), u64::MAX, 1).unwrap_err();
        assert!(
            error.to_string().contains("total.staged_bytes is 5"),
            "{error}"
        );
    }
}
