//! Whose turn it is, and how far it may go.
//!
//! **Invariant:** one launch at a time has the turn, and it passes on only when nothing is outstanding of what was granted with it, or its
//! holder stalled or left.

use std::{fmt::Debug, time::Duration};

use super::Scheduler;
use crate::{Class, queue::Rank, shares::Wanting};

/// The most pages that one grant adds: 4 GiB. A quantum has more only where a page takes less than 50 ns.
pub const MAX_GRANT_PAGES: u64 = 1 << 20;

/// What a launch's host is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant<K> {
    /// The launch.
    pub key: K,
    /// How many pages its ledger may reach. Higher than in every grant before.
    pub up_to_pages: u64,
}

/// The turn.
#[derive(Debug)]
pub(super) struct Turn<K> {
    pub(super) key: K,
    /// When it last showed progress, or began to have something to install.
    alive: Duration,
    /// Since when patience runs, once the holder has nothing to install; `None` before the first progress.
    idle: Option<Duration>,
    /// Whether there was progress since patience last began with an answer. Without, calls that install nothing would renew it for ever.
    earned: bool,
}

/// What the launch with the turn is up to.
#[derive(Debug)]
pub(super) struct Holder<K> {
    pub(super) key: K,
    pub(super) rank: Rank,
    /// Whether it wants the firmware, or is expected to at once.
    pub(super) is_wanting: bool,
    pub(super) has_demand: bool,
    pub(super) outstanding: u64,
}

impl<K> Turn<K> {
    fn new(key: K, now: Duration) -> Self {
        Self {
            key,
            alive: now,
            idle: None,
            earned: false,
        }
    }

    /// There is something to install again.
    pub(super) fn set_to_work(&mut self, now: Duration) {
        self.alive = now;
    }

    pub(super) fn progressed(&mut self, now: Duration) {
        self.alive = now;
        self.idle = Some(now);
        self.earned = true;
    }

    /// The last open call is answered.
    pub(super) fn fell_idle(&mut self, now: Duration) {
        if std::mem::take(&mut self.earned) {
            self.idle = Some(now);
        }
    }
}

impl<K: Copy + Ord + Debug> Scheduler<K> {
    /// What is to be granted now, if anything. To be called after events until it returns `None`, and at [`Scheduler::wake_at`].
    pub fn decide(&mut self, now: Duration) -> Option<Grant<K>> {
        self.advance(now);
        self.give_up_on_a_stalled_holder();
        let grant = self.pass_the_turn_on().and_then(|key| self.extend(key));
        self.watch_the_firmware();
        grant
    }

    /// When [`Scheduler::decide`] is to be called though nothing happened: the turn passes on for lack of data or of progress. `None` if only
    /// an event can change anything. Not later than the last event if a decision is due already.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let Some((turn, holder)) = self.turn.as_ref().zip(self.holder()) else {
            return (Class::ALL
                .iter()
                .any(|class| self.queue.head(*class).is_some()))
            .then_some(self.now);
        };
        if !self.queue.has_other_than(holder.rank) {
            return None;
        }
        if holder.outstanding > 0 {
            Some(turn.alive.saturating_add(self.stall()))
        } else {
            Some(
                turn.idle
                    .map_or(self.now, |idle| idle.saturating_add(self.config.patience)),
            )
        }
    }

    pub(super) fn holder(&self) -> Option<Holder<K>> {
        let turn = self.turn.as_ref()?;
        let launch = self.launches.get(&turn.key)?;
        let has_demand = launch.demand() > 0;
        let is_expected = turn
            .idle
            .is_some_and(|idle| self.now < idle.saturating_add(self.config.patience));
        Some(Holder {
            key: turn.key,
            rank: (launch.class, launch.arrival?),
            is_wanting: !launch.stalled && (has_demand || is_expected),
            has_demand,
            outstanding: launch.outstanding(),
        })
    }

    /// Which classes want the firmware, with those that have the turn and are expected to.
    pub(super) fn wanting(&self) -> Wanting {
        let held = self
            .holder()
            .filter(|holder| holder.is_wanting)
            .map(|holder| holder.rank.0);
        Class::ALL.map(|class| held == Some(class) || self.queue.head(class).is_some())
    }

    /// Leaves the turn with nobody.
    pub(super) fn release(&mut self) {
        self.turn = None;
        self.page_time.pause();
    }

    fn stall(&self) -> Duration {
        self.config.stall.max(self.page_time.time_of(4))
    }

    fn give_up_on_a_stalled_holder(&mut self) {
        let Some((turn, holder)) = self.turn.as_ref().zip(self.holder()) else {
            return;
        };
        if holder.outstanding == 0 || self.now < turn.alive.saturating_add(self.stall()) {
            return;
        }
        if let Some(launch) = self.launches.get_mut(&holder.key) {
            launch.stalled = true;
        }
        self.refile(holder.key);
        self.release();
    }

    /// Sees to it that whoever goes next has the turn. Returns it, or `None` if what was granted to the one before is to be used up first.
    fn pass_the_turn_on(&mut self) -> Option<K> {
        let holder = self.holder();
        let next = self.next(holder.as_ref());
        if let Some(holder) = holder {
            if next == Some(holder.key) {
                return next;
            }
            if holder.outstanding > 0 {
                return None;
            }
        }
        self.release();
        self.turn = next.map(|key| Turn::new(key, self.now));
        next
    }

    /// Who goes next: the first of the class whose phase it is, where a holder that is expected to ask counts as if it had.
    fn next(&mut self, holder: Option<&Holder<K>>) -> Option<K> {
        let drain = holder.map_or(Duration::ZERO, |holder| {
            self.page_time.time_of(holder.outstanding)
        });
        let page = self.page_time.time_of(1);
        let class = self.shares.choose(
            self.wanting(),
            holder.map(|holder| holder.rank.0),
            drain,
            page,
        )?;
        let expected = holder.filter(|holder| holder.is_wanting && holder.rank.0 == class);
        let expected = expected.map(|holder| (holder.rank, holder.key));
        let first = expected
            .into_iter()
            .chain(self.queue.head(class))
            .min_by_key(|(rank, _)| *rank);
        first.map(|(_, key)| key)
    }

    /// Grants the launch with the turn what it may have beyond what it has, if half of that is used up.
    fn extend(&mut self, key: K) -> Option<Grant<K>> {
        let (wanting, quantum) = (self.wanting(), self.quantum_pages());
        let launch = self.launches.get_mut(&key)?;
        let (demand, outstanding) = (launch.demand(), launch.outstanding());
        if outstanding > quantum / 2 {
            return None;
        }
        let drain = self.page_time.time_of(outstanding);
        let room = match self.shares.room(launch.class, wanting, drain) {
            // A page that does not fit is granted all the same: a quantum may be shorter than a page.
            Some(room) => self.page_time.pages_in(room).max(1),
            None => u64::MAX,
        };
        let more = demand.min(quantum).saturating_sub(outstanding).min(room);
        if more == 0 {
            return None;
        }
        Some(Grant {
            key,
            up_to_pages: launch.grant(more),
        })
    }

    /// The pages of a quantum, but no more than four times what the machine was ever seen to install: a first guess that is a thousand times too low
    /// would otherwise bind the firmware for a minute.
    fn quantum_pages(&self) -> u64 {
        let least = self.config.least_pages.max(1);
        let proven = self.page_time.seen().saturating_mul(3).saturating_add(1);
        self.page_time
            .pages_in(self.config.quantum)
            .clamp(least, proven.min(MAX_GRANT_PAGES).max(least))
    }

    /// Notes from when on the firmware works, or that it does not.
    fn watch_the_firmware(&mut self) {
        let now = self.now;
        if self.holder().is_none_or(|holder| holder.outstanding == 0) {
            self.page_time.pause();
        } else if self.page_time.working_for(now).is_none() {
            self.page_time.resume(now);
            if let Some(turn) = &mut self.turn {
                turn.set_to_work(now);
            }
        }
    }
}
