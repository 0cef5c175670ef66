//! What is shown of the queue.
//!
//! **Invariant:** a view changes nothing.

use std::{fmt::Debug, time::Duration};

use super::Scheduler;
use crate::Class;

/// Where a launch is in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// How many launches that wait go before it; 0 has the turn, or will with the next decision.
    pub position: usize,
    /// Pages that those are expected to install yet.
    pub pages_ahead: u64,
    /// Its own pages: those that it asked for or plans, whichever is more, and that are not installed.
    pub pages: u64,
    /// The time from now until all that it asked for and all that is planned of it is installed, if nobody else arrives.
    pub eta: Duration,
}

/// A launch that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting<K> {
    /// The launch.
    pub key: K,
    /// Its class.
    pub class: Class,
    /// Pages that it asked for and that are not installed.
    pub pages: u64,
    /// Whether it lost the turn for showing no progress.
    pub stalled: bool,
}

impl<K: Copy + Ord + Debug> Scheduler<K> {
    /// Where a launch is in the queue. `None` if it never asked, or left.
    ///
    /// One that asks for nothing at the moment is shown as if it did: it kept its place.
    #[must_use]
    pub fn place(&self, key: K, now: Duration) -> Option<Place> {
        let launch = self.launches.get(&key)?;
        let rank = (launch.class, launch.arrival?);
        let ahead = self.queue().take_while(|waiting| {
            let theirs = self
                .launches
                .get(&waiting.key)
                .and_then(|launch| launch.arrival);
            waiting.key != key
                && (self.has_turn(waiting.key)
                    || theirs.is_some_and(|theirs| (waiting.class, theirs) < rank))
        });
        let (mut position, mut pages_ahead) = (0, 0_u64);
        if !self.has_turn(key) {
            for waiting in ahead {
                let theirs = self.launches.get(&waiting.key);
                position += 1;
                pages_ahead =
                    pages_ahead.saturating_add(theirs.map_or(0, |launch| launch.remaining()));
            }
        }
        let mut forecast = self.forecast();
        forecast.set(key, rank, launch.remaining());
        let eta = forecast
            .finish_of(key)?
            .saturating_sub(now.saturating_sub(self.now));
        Some(Place {
            position,
            pages_ahead,
            pages: launch.remaining(),
            eta,
        })
    }

    /// The time from now until all that anybody asked for, and all that is planned of those, is installed, if nobody else arrives.
    #[must_use]
    pub fn empty_in(&self, now: Duration) -> Duration {
        let last = self.forecast().finishes().map(|(_, finish)| finish).max();
        last.unwrap_or_default()
            .saturating_sub(now.saturating_sub(self.now))
    }

    /// Those that wait for the firmware, in order: first the one with the turn, also while it is between two calls, then by class and arrival.
    pub fn queue(&self) -> impl Iterator<Item = Waiting<K>> + '_ {
        let holder = self
            .holder()
            .filter(|holder| holder.is_wanting)
            .map(|holder| holder.key);
        let others = self
            .queue
            .iter()
            .map(|(_, key)| key)
            .filter(move |key| Some(*key) != holder);
        holder.into_iter().chain(others).filter_map(|key| {
            let launch = self.launches.get(&key)?;
            Some(Waiting {
                key,
                class: launch.class,
                pages: launch.demand(),
                stalled: launch.stalled,
            })
        })
    }

    /// How many launches have asked for pages that are not installed.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// The time of a page: measured, or the first guess.
    #[must_use]
    pub fn page_time(&self) -> Duration {
        self.page_time.time_of(1)
    }

    /// Whether [`Scheduler::page_time`] and what is computed from it is a measure: half a quantum of firmware time was seen.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.page_time.is_measured()
    }

    fn has_turn(&self, key: K) -> bool {
        self.turn.as_ref().is_some_and(|turn| turn.key == key)
    }
}
