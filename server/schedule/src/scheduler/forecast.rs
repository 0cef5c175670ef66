//! When launches are expected to be done, if nobody else arrives and the firmware goes on as it did.
//!
//! A launch counts with what it has asked for or with what is planned of it, whichever is more. Those that stalled or have no data do not
//! count: nobody knows when they come back. What is granted already comes first, then classes in their phases, then arrivals.
//!
//! **Invariant:** a forecast changes nothing, and costs O(n) of those that wait.

use std::{fmt::Debug, time::Duration};

use super::{Scheduler, turn::Holder};
use crate::{Class, queue::Rank};

/// What the firmware has before it.
#[derive(Debug)]
pub(super) struct Forecast<'a, K> {
    scheduler: &'a Scheduler<K>,
    holder: Option<Holder<K>>,
    /// In order of rank.
    work: Vec<Work<K>>,
}

#[derive(Debug, Clone, Copy)]
struct Work<K> {
    key: K,
    rank: Rank,
    /// Pages beyond what is outstanding.
    pages: u64,
}

impl<K: Copy + Ord + Debug> Scheduler<K> {
    pub(super) fn forecast(&self) -> Forecast<'_, K> {
        let holder = self.holder();
        let mut forecast = Forecast {
            scheduler: self,
            holder,
            work: Vec::with_capacity(self.queue.len() + 1),
        };
        for (rank, key) in self.queue.iter() {
            if let Some(launch) = self.launches.get(&key).filter(|launch| !launch.stalled) {
                forecast.set(key, rank, launch.remaining());
            }
        }
        let idle = forecast
            .holder
            .as_ref()
            .filter(|holder| holder.is_wanting && !holder.has_demand);
        if let Some((key, rank)) = idle.map(|holder| (holder.key, holder.rank))
            && let Some(launch) = self.launches.get(&key)
        {
            forecast.set(key, rank, launch.remaining());
        }
        forecast
    }
}

impl<K: Copy + Ord + Debug> Forecast<'_, K> {
    /// Has a launch count with `pages`, outstanding ones included.
    pub(super) fn set(&mut self, key: K, rank: Rank, pages: u64) {
        let work = Work {
            key,
            rank,
            pages: pages.saturating_sub(self.outstanding(key)),
        };
        match self.work.binary_search_by_key(&rank, |work| work.rank) {
            Ok(index) => self.work[index] = work,
            Err(index) => self.work.insert(index, work),
        }
    }

    /// When the launch that was [`set`](Self::set) last with this key is done.
    pub(super) fn finish_of(&self, key: K) -> Option<Duration> {
        self.finishes()
            .find(|(of, _)| *of == key)
            .map(|(_, finish)| finish)
    }

    /// When each launch is done.
    pub(super) fn finishes(&self) -> impl Iterator<Item = (K, Duration)> + '_ {
        let page_time = &self.scheduler.page_time;
        let mut totals = [0_u64; Class::ALL.len()];
        for work in &self.work {
            let total = &mut totals[work.rank.0.index()];
            *total = total.saturating_add(work.pages);
        }
        let totals = totals.map(|pages| page_time.time_of(pages));
        let drained = self.holder.as_ref().map_or(Duration::ZERO, |holder| {
            page_time.time_of(holder.outstanding)
        });
        let begun = page_time
            .working_for(self.scheduler.now)
            .unwrap_or_default();
        let drain = drained.saturating_sub(begun);
        let class = self.holder.as_ref().map(|holder| holder.rank.0);
        let mut done = [0_u64; Class::ALL.len()];
        self.work.iter().map(move |work| {
            let done = &mut done[work.rank.0.index()];
            *done = done.saturating_add(work.pages);
            if work.pages == 0 && self.outstanding(work.key) > 0 {
                return (work.key, drain);
            }
            let own = page_time.time_of(*done);
            let wait = self.scheduler.shares.finish(
                totals,
                work.rank.0,
                own,
                class,
                drain,
                page_time.time_of(1),
            );
            (work.key, drain.saturating_add(wait))
        })
    }

    /// What is granted to the launch with the turn, and comes before all else.
    fn outstanding(&self, key: K) -> u64 {
        self.holder
            .as_ref()
            .filter(|holder| holder.key == key)
            .map_or(0, |holder| holder.outstanding)
    }
}
