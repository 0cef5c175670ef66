//! One launch in the queue for its firmware.
//!
//! **Invariant:** what was asked for is answered once, however the call ends; and a launch that is over holds up nobody.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use stagepages_host::{
    launch::State,
    protocol::{Command, Meter},
};
use stagepages_schedule::{Class, Place, Refused};
use tokio::{sync::watch, time::Instant};

use super::FirmwareQueue;
use crate::daemon::{HostLink, Status};

/// A launch that takes its turns.
#[derive(Debug)]
pub struct Seat {
    queue: Arc<FirmwareQueue>,
    key: u64,
    /// How many pages its ledger may reach.
    granted: watch::Receiver<u64>,
    /// The most that its host was told. A host that hears less after more goes by the more.
    told: AtomicU64,
    /// Of what the queue was told; a launch that is over is told off once.
    installed: AtomicU64,
    status: watch::Receiver<Status>,
    link: HostLink,
}

/// A call that has asked for firmware, until it is answered.
#[derive(Debug)]
pub struct Asked {
    seat: Arc<Seat>,
    pages: u64,
}

impl Seat {
    /// Takes a seat for a launch whose host can be metered, and tells that host so: before it is sent any page.
    pub(in crate::daemon) async fn take(
        queue: &Arc<FirmwareQueue>,
        link: &HostLink,
        status: &watch::Sender<Status>,
        class: Class,
        planned_pages: Option<u64>,
    ) -> Arc<Self> {
        let key = queue.key();
        let status = status.subscribe();
        let installed = status.borrow().snapshot.installed_pages;
        let (grant, granted) = watch::channel(installed);
        {
            let mut state = queue.lock();
            state.granted.insert(key, grant);
        }
        queue.with(|scheduler, now| scheduler.join(key, class, planned_pages, installed, now));
        let seat = Arc::new(Self {
            queue: Arc::clone(queue),
            key,
            granted,
            told: AtomicU64::new(0),
            installed: AtomicU64::new(installed),
            status,
            link: link.clone(),
        });
        link.tell(Command::Meter(Meter {
            up_to_pages: installed,
        }))
        .await;
        tokio::spawn(Arc::clone(&seat).attend());
        seat
    }

    /// Has the queue count on `pages` pages, by then if there is a deadline.
    ///
    /// # Errors
    /// [`Refused`]: nothing changed.
    pub fn ask(self: &Arc<Self>, pages: u64, deadline: Option<Instant>) -> Result<Asked, Refused> {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        self.queue
            .with(|scheduler, now| scheduler.ask(self.key, pages, left, now))
            .0?;
        Ok(Asked {
            seat: Arc::clone(self),
            pages,
        })
    }

    /// Waits until the launch may install a page, or is over. Nothing has happened when this is dropped.
    pub async fn turn(&self) {
        let installed = self.status.borrow().snapshot.installed_pages;
        let mut granted = self.granted.clone();
        // The sender goes with the launch's end.
        drop(granted.wait_for(|granted| *granted > installed).await);
        self.pass_on().await;
    }

    /// Where it is in the queue; `None` while none of its pages wait.
    pub fn place(&self) -> Option<Place> {
        self.queue
            .with(|scheduler, now| scheduler.place(self.key, now))
            .0
            .filter(|place| place.pages > 0)
    }

    /// Tells the queue how the launch gets on, and the host how far it may.
    async fn attend(self: Arc<Self>) {
        let mut status = self.status.clone();
        let mut granted = self.granted.clone();
        loop {
            let over = {
                let status = status.borrow_and_update();
                self.progress(status.snapshot.installed_pages);
                status.ending.is_some()
                    || !matches!(status.snapshot.state, State::Created | State::Staging)
            };
            if over {
                break;
            }
            tokio::select! {
                changed = status.changed() => if changed.is_err() { break },
                changed = granted.changed() => match changed {
                    Ok(()) => self.pass_on().await,
                    Err(_left) => break,
                },
            }
        }
        self.queue.lock().granted.remove(&self.key);
        self.queue
            .with(|scheduler, now| scheduler.leave(self.key, now));
        // What it has left to do, if it has not ended, takes no pages.
        self.link
            .tell(Command::Meter(Meter {
                up_to_pages: u64::MAX,
            }))
            .await;
    }

    /// Tells the host how far it may go, unless it knows.
    ///
    /// A call that is dropped while this waits has told nothing, so it is noted only afterwards; to be told twice does a host no harm.
    async fn pass_on(&self) {
        let up_to_pages = *self.granted.borrow();
        if self.told.load(Ordering::Acquire) < up_to_pages {
            self.link.tell(Command::Meter(Meter { up_to_pages })).await;
            self.told.fetch_max(up_to_pages, Ordering::AcqRel);
        }
    }

    fn progress(&self, installed: u64) {
        if self.installed.fetch_max(installed, Ordering::AcqRel) < installed {
            self.queue
                .with(|scheduler, now| scheduler.progress(self.key, installed, now));
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let Seat {
            queue, key, status, ..
        } = &*self.seat;
        // The answer's own snapshot, which came before the answer.
        let installed = status.borrow().snapshot.installed_pages;
        queue.with(|scheduler, now| scheduler.answered(*key, self.pages, installed, now));
    }
}
