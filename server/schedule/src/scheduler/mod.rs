//! What happens to launches, and whose turn it is: the policy's state and its events.
//!
//! ```text
//!   join ──▶ known ──ask──▶ waiting ──turn──▶ served ──answered──▶ idle ──ask──▶ waiting …        leave, from anywhere
//!                              ▲                 │
//!                              └─ progress ── stalled
//! ```
//!
//! | file          | one idea                                            |
//! |---------------|-----------------------------------------------------|
//! | `turn.rs`     | whose turn it is and how far it may go              |
//! | `forecast.rs` | when launches are expected to be done               |
//! | `admission.rs`| which calls are refused                             |
//! | `views.rs`    | what is shown of the queue                          |
//!
//! **Invariant:** events of a launch that did not join, or that left, change nothing; time never goes back.

mod admission;
mod forecast;
mod turn;
mod views;

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use crate::{
    Class, Config, ConfigError, launch::Launch, page_time::PageTime, queue::Queue, shares::Shares,
};

pub use admission::Refused;
pub use turn::{Grant, MAX_GRANT_PAGES};
pub use views::{Place, Waiting};

use turn::Turn;

/// The queue of one machine's serial firmware. `K` names a launch.
///
/// See the [crate] for the policy and how it is driven. All times are since one origin of the caller's choice.
#[derive(Debug)]
pub struct Scheduler<K> {
    config: Config,
    launches: BTreeMap<K, Launch>,
    queue: Queue<K>,
    shares: Shares,
    page_time: PageTime,
    turn: Option<Turn<K>>,
    /// The number of the next launch to arrive.
    arrivals: u64,
    now: Duration,
}

impl<K: Copy + Ord + Debug> Scheduler<K> {
    /// A queue without launches.
    ///
    /// # Errors
    /// A setting is out of its bounds.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            launches: BTreeMap::new(),
            queue: Queue::new(),
            shares: Shares::new(config.quantum, config.low_share),
            page_time: PageTime::new(config.page_time, config.quantum),
            turn: None,
            arrivals: 0,
            now: Duration::ZERO,
            config,
        })
    }

    /// A launch exists, with `installed` pages in its ledger, which is to reach `planned_pages` if somebody said so.
    ///
    /// It has no place in the queue before it [asks](Self::ask). A launch that already joined stays what it is, and its ledger counts as
    /// [progress](Self::progress).
    pub fn join(
        &mut self,
        key: K,
        class: Class,
        planned_pages: Option<u64>,
        installed: u64,
        now: Duration,
    ) {
        if self.launches.contains_key(&key) {
            self.progress(key, installed, now);
        } else {
            self.advance(now);
            self.launches
                .insert(key, Launch::new(class, planned_pages, installed));
        }
    }

    /// A call of `pages` pages has its data ready and wants the firmware, within `deadline` from now if it has one.
    ///
    /// The first call is a launch's arrival. A call that is accepted MUST be [answered](Self::answered) once, unless its launch leaves. A
    /// call without pages is none: it is accepted and needs no answer. So is a call of a launch that did not join or that left, which
    /// will hear of that from its host.
    ///
    /// # Errors
    /// Nothing changed:
    /// - [`Refused::QueueFull`] if as many launches wait as may, and this one has not arrived yet.
    /// - [`Refused::DeadlineUnreachable`] if those before it leave too little of the time. Only a measured time of a page is held against a
    ///   deadline: on a guess that is too high every call would be refused, and nothing ever measured.
    pub fn ask(
        &mut self,
        key: K,
        pages: u64,
        deadline: Option<Duration>,
        now: Duration,
    ) -> Result<(), Refused> {
        self.advance(now);
        let now = self.now;
        let Some(launch) = self.launches.get(&key) else {
            return Ok(());
        };
        if pages == 0 {
            return Ok(());
        }
        self.admit(key, launch, pages, deadline)?;
        let arrivals = &mut self.arrivals;
        let Some(launch) = self.launches.get_mut(&key) else {
            return Ok(());
        };
        launch.arrival.get_or_insert_with(|| {
            *arrivals += 1;
            *arrivals
        });
        let was_idle = launch.outstanding() == 0;
        launch.ask(pages);
        if was_idle && let Some(turn) = self.turn_of(key) {
            // What is left of an old grant is outstanding again: it is not as old as that grant.
            turn.set_to_work(now);
        }
        self.refile(key);
        Ok(())
    }

    /// A call of `pages` pages that had [asked](Self::ask) is over: complete, short or refused. What of it was not installed leaves the demand.
    ///
    /// `installed` is the ledger's total as of this answer. If the answer does not carry it, the total of the last report before the answer
    /// does, provided that reports and answers come in order; a total that is too low makes pages of this call count for the next.
    pub fn answered(&mut self, key: K, pages: u64, installed: u64, now: Duration) {
        self.advance(now);
        let now = self.now;
        let Some(launch) = self.launches.get_mut(&key) else {
            return;
        };
        let news = launch.answered(pages, installed);
        let is_last = !launch.has_open_call();
        self.note_progress(key, news);
        if is_last && let Some(turn) = self.turn_of(key) {
            turn.fell_idle(now);
        }
        self.refile(key);
    }

    /// A launch's ledger has `installed` pages. A total that is not higher than the last is no news.
    pub fn progress(&mut self, key: K, installed: u64, now: Duration) {
        self.advance(now);
        let Some(launch) = self.launches.get_mut(&key) else {
            return;
        };
        let news = launch.reach(installed);
        self.note_progress(key, news);
        self.refile(key);
    }

    /// A launch finished, was aborted, or its host is gone. It leaves the queue, and the turn is free, at once.
    pub fn leave(&mut self, key: K, now: Duration) {
        self.advance(now);
        let Some(launch) = self.launches.remove(&key) else {
            return;
        };
        if let Some(arrival) = launch.arrival {
            self.queue.file((launch.class, arrival), key, false, false);
        }
        if self.turn_of(key).is_some() {
            self.release();
        }
    }

    /// Brings the clock forward, at the expense of the class whose turn it is.
    fn advance(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.now);
        if elapsed.is_zero() {
            return;
        }
        if let Some(holder) = self.holder() {
            let wanting = self.wanting();
            self.shares.charge(holder.rank.0, wanting, elapsed);
        }
        self.now = now;
    }

    fn note_progress(&mut self, key: K, news: u64) {
        if news == 0 {
            return;
        }
        let now = self.now;
        self.page_time.installed(news, now);
        if let Some(turn) = self.turn_of(key) {
            turn.progressed(now);
        }
    }

    /// Files a launch where it belongs after it changed.
    fn refile(&mut self, key: K) {
        let Some(launch) = self.launches.get(&key) else {
            return;
        };
        if let Some(arrival) = launch.arrival {
            let rank = (launch.class, arrival);
            self.queue
                .file(rank, key, launch.demand() > 0, launch.stalled);
        }
    }

    fn turn_of(&mut self, key: K) -> Option<&mut Turn<K>> {
        self.turn.as_mut().filter(|turn| turn.key == key)
    }
}
