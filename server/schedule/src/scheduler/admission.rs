//! Which calls are refused, with numbers computed from the queue.
//!
//! **Invariant:** a launch that has arrived is never refused for the length of the queue, and a refusal changes nothing.

use std::{fmt::Debug, time::Duration};

use super::Scheduler;
use crate::launch::Launch;

/// Why a call was not taken into the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As many launches wait as may.
    #[error(
        "{waiting} launches wait for the firmware, as many as may: a place is expected to be free in {retry_after:?}"
    )]
    QueueFull {
        /// Launches that wait.
        waiting: usize,
        /// When enough of them are expected to be done, if nobody else arrives.
        retry_after: Duration,
    },
    /// The queue is too long for the time that is left.
    #[error(
        "the pages are expected to be installed in {expected:?}, and {left:?} is left: allow more time, or stage in a higher class"
    )]
    DeadlineUnreachable {
        /// When the last page of the call is expected to be installed.
        expected: Duration,
        /// The time that the call had.
        left: Duration,
    },
}

impl<K: Copy + Ord + Debug> Scheduler<K> {
    pub(super) fn admit(
        &self,
        key: K,
        launch: &Launch,
        pages: u64,
        deadline: Option<Duration>,
    ) -> Result<(), Refused> {
        let waiting = self.waiting();
        if launch.arrival.is_none() && waiting >= self.config.max_waiting {
            return Err(Refused::QueueFull {
                waiting,
                retry_after: self.a_place_is_free_in(),
            });
        }
        let Some(left) = deadline.filter(|_| self.page_time.is_measured()) else {
            return Ok(());
        };
        let expected = self.call_is_done_in(key, launch, pages);
        if expected > left {
            Err(Refused::DeadlineUnreachable { expected, left })
        } else {
            Ok(())
        }
    }

    /// When as many launches are done as it takes for one more to be let in. At least the time of a page.
    fn a_place_is_free_in(&self) -> Duration {
        let mut finishes: Vec<_> = self
            .forecast()
            .finishes()
            .map(|(_, finish)| finish)
            .collect();
        finishes.sort_unstable();
        let surplus = self.waiting().saturating_sub(self.config.max_waiting);
        // Those that stalled have no finish: with too many of them, there is none to name but that of the last that has.
        let finish = finishes.get(surplus).or(finishes.last()).copied();
        finish
            .unwrap_or(self.config.stall)
            .max(self.page_time.time_of(1))
    }

    /// When a further call of `pages` pages of a launch is done.
    fn call_is_done_in(&self, key: K, launch: &Launch, pages: u64) -> Duration {
        let rank = (launch.class, launch.arrival.unwrap_or(u64::MAX));
        let mut forecast = self.forecast();
        forecast.set(key, rank, launch.demand().saturating_add(pages));
        forecast.finish_of(key).unwrap_or_default()
    }
}
