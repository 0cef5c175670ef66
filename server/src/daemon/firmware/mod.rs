//! The queue for firmware that is one for the whole machine: whose pages go when.
//!
//! ```text
//!  a call with its data ready ──ask──▶ FirmwareQueue ──▶ its launch's Seat: "your ledger may reach N pages" ──Meter──▶ launch host
//!                                          ▲                                                                        │
//!                                          └────────────── progress, answers, the end, as snapshots ◀───────────────┘
//! ```
//!
//! What is decided, and why, is `stagepages_schedule`'s; here are the clock and the messages. A call waits with the daemon until its launch may go on: until then it can
//! be taken back, as any call that waits. A daemon that ends leaves its hosts unmetered: they complete what they have, in turns as the firmware gives them.
//!
//! **Invariant:** no call of a platform with such firmware reaches its host before its launch may install a page.

mod seat;

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use stagepages_host::platform::PlatformKind;
use stagepages_schedule::{Config, ConfigError, Grant, Scheduler};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use seat::{Asked, Seat};

/// The queues of this machine, by platform.
#[derive(Debug, Clone, Default)]
pub struct FirmwareQueues {
    /// The simulated firmware's.
    sim: Option<Arc<FirmwareQueue>>,
    /// That of AMD's secure processor.
    sev_snp: Option<Arc<FirmwareQueue>>,
}

/// The queue for one firmware.
#[derive(Debug)]
pub struct FirmwareQueue {
    state: Mutex<State>,
    origin: Instant,
    /// When to decide again is another time now.
    earlier: Arc<Notify>,
    /// Names for launches.
    keys: AtomicU64,
    _clock: DropGuard,
}

#[derive(Debug)]
struct State {
    scheduler: Scheduler<u64>,
    /// How far each launch may go.
    granted: HashMap<u64, watch::Sender<u64>>,
    /// When the clock wakes next.
    wakes: Option<Duration>,
}

/// What is shown of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueView {
    /// Launches that wait, the one whose turn it is included.
    pub launches: usize,
    /// Pages that they asked for and that are not installed.
    pub pages: u64,
    /// What firmware takes for a page.
    pub page_time: Duration,
    /// When all of them are expected to be installed.
    pub expected: Duration,
}

impl FirmwareQueues {
    /// A queue for each platform that needs one, with room for so many launches that wait; without room for any, none. A host hands its platform
    /// `chunk_pages` at once, and reports after each: so a grant has two of them at least, and the next is there before the firmware is done with the second.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(max_waiting: Option<NonZeroUsize>, chunk_pages: u32) -> Result<Self, ConfigError> {
        let queue = || {
            max_waiting.map(|most| {
                FirmwareQueue::start(Config {
                    max_waiting: most.get(),
                    least_pages: 2 * u64::from(chunk_pages),
                    ..Config::default()
                })
            })
        };
        Ok(Self {
            sim: queue().transpose()?,
            sev_snp: queue().transpose()?,
        })
    }

    /// That of a platform, if its firmware is serial.
    #[must_use]
    pub fn of(&self, platform: PlatformKind) -> Option<&Arc<FirmwareQueue>> {
        match platform {
            PlatformKind::Sim => self.sim.as_ref(),
            PlatformKind::SevSnp => self.sev_snp.as_ref(),
            // The TDX module works on as many CPUs as call it; memory has no queue.
            PlatformKind::Tdx | PlatformKind::Kvm => None,
        }
    }
}

impl FirmwareQueue {
    fn start(config: Config) -> Result<Arc<Self>, ConfigError> {
        let scheduler = Scheduler::new(config)?;
        let end = CancellationToken::new();
        let queue = Arc::new(Self {
            state: Mutex::new(State {
                scheduler,
                granted: HashMap::new(),
                wakes: None,
            }),
            origin: Instant::now(),
            earlier: Arc::default(),
            keys: AtomicU64::new(1),
            _clock: end.clone().drop_guard(),
        });
        let (clock, earlier) = (Arc::downgrade(&queue), Arc::clone(&queue.earlier));
        tokio::spawn(async move {
            // Decides when time alone has changed something. It does not keep the queue.
            while let Some(queue) = clock.upgrade() {
                let wakes = queue.with(|_, _| ()).1;
                let at = wakes.map(|wakes| queue.origin + wakes);
                drop(queue);
                let earlier = earlier.notified();
                tokio::select! {
                    () = earlier => {}
                    () = sleep_until(at) => {}
                    () = end.cancelled() => return,
                }
            }
        });
        Ok(queue)
    }

    /// Does something to the policy, and passes on what follows from it.
    fn with<R>(
        &self,
        change: impl FnOnce(&mut Scheduler<u64>, Duration) -> R,
    ) -> (R, Option<Duration>) {
        let mut state = self.lock();
        let now = self.origin.elapsed();
        let state = &mut *state;
        let result = change(&mut state.scheduler, now);
        while let Some(Grant { key, up_to_pages }) = state.scheduler.decide(now) {
            if let Some(granted) = state.granted.get(&key) {
                granted.send_replace(up_to_pages);
            }
        }
        let wakes = state.scheduler.wake_at();
        if wakes.is_some_and(|at| state.wakes.is_none_or(|known| at < known)) {
            self.earlier.notify_one();
        }
        state.wakes = wakes;
        (result, wakes)
    }

    /// How it is.
    pub fn view(&self) -> QueueView {
        self.with(|scheduler, now| {
            let (mut launches, mut pages) = (0, 0_u64);
            for waiting in scheduler.queue() {
                launches += 1;
                pages = pages.saturating_add(waiting.pages);
            }
            QueueView {
                launches,
                pages,
                page_time: scheduler.page_time(),
                expected: scheduler.empty_in(now),
            }
        })
        .0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self) -> u64 {
        self.keys.fetch_add(1, Ordering::Relaxed)
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
