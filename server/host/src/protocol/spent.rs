//! What one call spent its time on, as the host measured it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::launch;

/// Time on the wall that a call took in the host, in nanoseconds. Told since version 6, by hosts that know it; older daemons do not look at it.
///
/// Of `Stage`, whether it was applied or refused, all but `attributes`; of `Create` only that, `queue` and `total`; of others that are [`Done`](super::Done),
/// such as `Finish`, `queue` and `total`. What comes from memory (a repeat, an
/// answer in a [`Farewell`](super::Farewell)) has spent nothing on pages, and tells no more than the call did that asked for it.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Spent {
    /// From the arrival of the request until the launch thread took it up: those before it were at work.
    #[prost(uint64, tag = "1")]
    pub queue: u64,
    /// Waiting for the daemon's leave to go on, where it meters the firmware of the machine.
    #[prost(uint64, tag = "2")]
    pub turn: u64,
    /// Reading contents into the memory that they are installed from.
    #[prost(uint64, tag = "3")]
    pub copy: u64,
    /// KVM_SET_MEMORY_ATTRIBUTES, which is done for all memory at once when the launch is made.
    #[prost(uint64, tag = "4")]
    pub attributes: u64,
    /// In the kernel and in firmware: making pages exist, KVM_SEV_SNP_LAUNCH_UPDATE, KVM_TDX_INIT_MEM_REGION, and what plays them on `sim`.
    #[prost(uint64, tag = "5")]
    pub ioctl: u64,
    /// Hashing pages, waiting for the launch digest, and checking stored images.
    ///
    /// Where two threads fill and hash pages at the same time (`kvm`, long extents), `copy`, `ioctl` and `hash` have the shares of what passed on the clock
    /// that both threads together spent on each.
    #[prost(uint64, tag = "6")]
    pub hash: u64,
    /// From taking it up to its answer: all but `queue`. What the others leave of it is bookkeeping and pauses between attempts.
    #[prost(uint64, tag = "7")]
    pub total: u64,
    /// When the launch thread took it up, in nanoseconds since 1970 of the machine's clock.
    #[prost(uint64, tag = "8")]
    pub began_unix_nanos: u64,
}

impl Spent {
    /// A call that waited for `queue` and was taken up `total` ago.
    pub(crate) fn now(queue: Duration, total: Duration) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            queue: nanos(queue),
            total: nanos(total),
            began_unix_nanos: nanos(now.unwrap_or_default().saturating_sub(total)),
            ..Self::default()
        }
    }

    /// With what its pages took.
    pub(crate) fn on_pages(self, pages: launch::Spent) -> Self {
        Self {
            turn: nanos(pages.turn),
            copy: nanos(pages.copy),
            ioctl: nanos(pages.ioctl),
            hash: nanos(pages.hash),
            ..self
        }
    }

    /// With what it took to have memory made private.
    pub(crate) fn on_attributes(self, attributes: Duration) -> Self {
        Self {
            attributes: nanos(attributes),
            ..self
        }
    }

    /// What `total` has beside its named parts.
    #[must_use]
    pub fn other(&self) -> u64 {
        [self.turn, self.copy, self.attributes, self.ioctl, self.hash]
            .into_iter()
            .fold(self.total, u64::saturating_sub)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_and_the_rest_are_the_whole() {
        let second = Duration::from_secs(1);
        let pages = launch::Spent {
            turn: second,
            ioctl: second,
            ..launch::Spent::default()
        };
        let spent = Spent::now(7 * second, 5 * second).on_pages(pages);
        assert_eq!(spent.queue, 7_000_000_000);
        assert_eq!(spent.other(), 3_000_000_000);
        let spent = spent.on_attributes(second);
        assert_eq!(spent.other(), 2_000_000_000);
        let broken = Spent { total: 1, ..spent };
        assert_eq!(broken.other(), 0, "whatever a peer says");
    }
}
