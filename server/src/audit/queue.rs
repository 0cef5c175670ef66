//! What waits to be written, and the thread that writes it.
//!
//! ```text
//! tell, refused ─▶ queue ─▶ thread: a batch, one write, one fdatasync ─▶ who waits is told
//!                    ▲                      │ fails
//!                    └── put back, tried ◀──┘ every second; who waits is told at once
//!                        again
//! ```
//!
//! **Invariant:** nobody but who makes sure waits for a disk; what waits is bounded, and what did not fit is counted and told.

use std::{
    collections::VecDeque,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::SyncSender,
    },
    time::{Duration, Instant},
};

use stagepages_audit::{Entry, Event};
use tokio::sync::oneshot;

use super::{
    limiter::{Flood, Limiter},
    log::Log,
};

/// Records that may wait; some hundred bytes each. While nothing can be written no launch is created, so they come from those that live.
const MOST: usize = 16_384;

/// Of which so many may be about refused calls.
const MOST_REFUSED: usize = 1024;

/// Records of one write.
const BATCH: usize = 64;

/// Between two tries to write what could not be written.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// How it went: what the kernel said if it could not be written.
pub(super) type Done = Result<(), String>;

/// What handles and the thread share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    /// The last write failed.
    failing: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    limiter: Limiter,
    /// State changes that did not fit since the last that did.
    lost: u64,
    closing: bool,
}

#[derive(Debug)]
struct Waiting {
    entry: Entry,
    done: Option<oneshot::Sender<Done>>,
}

impl Shared {
    /// Whether the last write succeeded, as far as there was one.
    pub(super) fn is_writable(&self) -> bool {
        !self.failing.load(Ordering::Acquire)
    }

    /// Has `entry` written at some time.
    pub(super) fn tell(&self, entry: Entry) {
        self.push(entry, None);
    }

    /// Has `entry` written; the answer comes when it is on the disk, or cannot be.
    pub(super) fn make_sure(&self, entry: Entry) -> oneshot::Receiver<Done> {
        let (done, answer) = oneshot::channel();
        self.push(entry, Some(done));
        answer
    }

    /// Has a refused call written, if its caller is not too frequent.
    pub(super) fn refused(&self, entry: Entry) {
        let now = Instant::now();
        let mut queue = self.lock();
        if let Some(flood) = queue.limiter.flood(now) {
            queue.waiting.push_back(Waiting::of(suppressed(flood)));
        }
        let identity = entry.who.as_ref().map_or("", |who| &who.identity);
        let told = queue.limiter.tells(identity, &entry.outcome, now);
        if told && queue.waiting.len() < MOST_REFUSED {
            queue.waiting.push_back(Waiting::of(entry));
        }
        drop(queue);
        self.wake.notify_one();
    }

    /// Nothing comes any more: the thread writes what there is, and ends.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.wake.notify_one();
    }

    fn push(&self, entry: Entry, done: Option<oneshot::Sender<Done>>) {
        let mut queue = self.lock();
        if queue.waiting.len() < MOST {
            queue.waiting.push_back(Waiting { entry, done });
        } else if let Some(done) = done {
            // Who left needs no answer.
            drop(done.send(Err("too many records wait to be written".to_owned())));
        } else {
            queue.lost += 1;
        }
        drop(queue);
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to write, or for the end; that is `None`.
    fn take(&self) -> Option<Vec<Waiting>> {
        let mut queue = self.lock();
        loop {
            let now = Instant::now();
            if let Some(flood) = queue.limiter.flood(now) {
                queue.waiting.push_back(Waiting::of(suppressed(flood)));
            }
            if queue.closing
                && let Some(flood) = queue.limiter.end()
            {
                queue.waiting.push_back(Waiting::of(suppressed(flood)));
            }
            if !queue.waiting.is_empty() {
                let count = queue.waiting.len().min(BATCH);
                return Some(queue.waiting.drain(..count).collect());
            }
            if queue.closing {
                return None;
            }
            queue = match queue.limiter.ends() {
                Some(ends) => {
                    let left = ends.saturating_duration_since(now);
                    let woken = self.wake.wait_timeout(queue, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self
                    .wake
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Writes until the log is closed. `_alive` tells, by going, that this has ended.
    pub(super) fn work(&self, mut log: Log, _alive: &SyncSender<()>) {
        while let Some(batch) = self.take() {
            let entries: Vec<_> = batch.iter().map(|waiting| &waiting.entry).collect();
            match log.append(&entries) {
                Ok(()) => answer(batch, &Ok(())),
                Err(error) => {
                    tracing::error!(%error, "the audit log cannot be written: no launch is created until it can; make room, or see what is wrong with audit_dir");
                    self.put_back(batch, &error.to_string());
                    if !self.recover(&mut log) {
                        return;
                    }
                }
            }
        }
    }

    /// Tries to write until it succeeds, or the log is closed; that is false.
    fn recover(&self, log: &mut Log) -> bool {
        loop {
            let lost = {
                let queue = self.lock();
                let (queue, _) = self
                    .wake
                    .wait_timeout_while(queue, TRY_AGAIN, |queue| !queue.closing)
                    .unwrap_or_else(PoisonError::into_inner);
                if queue.closing {
                    tracing::error!(
                        records = queue.waiting.len(),
                        "these records are not in the audit log"
                    );
                    return false;
                }
                queue.lost
            };
            let resumed = Entry {
                count: Some(lost),
                ..Entry::new(Event::LogResumed)
            };
            match log.append(&[&resumed]) {
                Ok(()) => {
                    self.lock().lost -= lost;
                    self.failing.store(false, Ordering::Release);
                    tracing::info!(lost, "the audit log can be written again");
                    return true;
                }
                Err(error) => tracing::debug!(%error, "the audit log cannot be written yet"),
            }
        }
    }

    /// Keeps what could not be written, but for what somebody waits for: they are told.
    fn put_back(&self, batch: Vec<Waiting>, why: &str) {
        self.failing.store(true, Ordering::Release);
        let mut queue = self.lock();
        for waiting in batch.into_iter().rev() {
            queue.waiting.push_front(waiting);
        }
        let (awaited, kept): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut queue.waiting)
            .into_iter()
            .partition(|waiting| waiting.done.is_some());
        queue.waiting = kept;
        drop(queue);
        answer(awaited, &Err(why.to_owned()));
    }
}

impl Waiting {
    fn of(entry: Entry) -> Self {
        Self { entry, done: None }
    }
}

fn answer(batch: impl IntoIterator<Item = Waiting>, done: &Done) {
    for waiting in batch {
        if let Some(waits) = waiting.done {
            // Who left needs no answer.
            drop(waits.send(done.clone()));
        }
    }
}

fn suppressed(flood: Flood) -> Entry {
    Entry {
        count: Some(flood.count),
        suppressed: flood.most,
        ..Entry::new(Event::CallsSuppressed)
    }
}
