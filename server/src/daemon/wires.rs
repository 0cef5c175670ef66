//! What a link tells, on its way to the launch that it is of.

use std::sync::{Arc, Mutex, PoisonError};

use stagepages_host::launch::{Answered, REPLAY_WINDOW};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::metrics::{Counted, Metrics};

use super::{
    Console, HostLink, Nursery, Staging, Status, Told,
    launch::{Origin, Parts},
    supervisor_link::HostChild,
};

/// Answers that a launch remembers: so many by number, and as many by name.
const MOST_ANSWERS: usize = 2 * REPLAY_WINDOW;

/// Where a link puts what it is told. Made before the link, which begins to tell at once.
#[derive(Debug, Clone)]
pub(super) struct Wires {
    pub(super) status: watch::Sender<Status>,
    remembered: Arc<Mutex<Vec<Answered>>>,
    told_all: CancellationToken,
    pub(super) console: Arc<Console>,
    /// What its host installs.
    pub(super) counted: Counted,
    metrics: Metrics,
}

impl Wires {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self {
            counted: Counted::new(metrics.clone()),
            metrics,
            status: watch::Sender::new(Status::fresh()),
            remembered: Arc::default(),
            told_all: CancellationToken::new(),
            console: Arc::default(),
        }
    }

    /// For the link.
    pub(super) fn told(&self) -> impl Fn(Told) + Send + Sync + 'static {
        let wires = self.clone();
        move |told| match told {
            Told::Snapshot(snapshot) => {
                wires
                    .status
                    .send_if_modified(|status| status.told(snapshot));
            }
            Told::Farewell(answers) => {
                let remembered = wires.remembered.lock();
                let mut remembered = remembered.unwrap_or_else(PoisonError::into_inner);
                // No host of ours tells more; one that does is not believed.
                let room = MOST_ANSWERS.saturating_sub(remembered.len());
                remembered.extend(answers.into_iter().take(room));
            }
            Told::Answered(work) => {
                let installed = wires.status.borrow().snapshot.installed_pages;
                wires.counted.answered(&work, installed);
            }
            Told::Lost(page_type) => {
                let installed = wires.status.borrow().snapshot.installed_pages;
                wires.counted.lost(page_type, installed);
            }
            Told::Console(console) => wires.console.told(&console),
            Told::End => wires.told_all.cancel(),
        }
    }

    /// A launch that is over: what it remembered.
    pub(super) fn remember(&self, answers: Vec<Answered>) {
        *self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = answers;
    }

    /// For the launch.
    pub(super) fn parts(
        self,
        nursery: &Nursery,
        link: HostLink,
        staging: Option<Arc<Staging>>,
        child: Option<HostChild>,
    ) -> Parts {
        Parts {
            staging,
            link,
            child,
            status: self.status,
            remembered: self.remembered,
            told_all: self.told_all,
            console: self.console,
            finish: None,
            ledger: None,
            origin: Origin::Made,
            supervisor: nursery.supervisor.clone(),
            records: nursery.records.clone(),
            ledgers: nursery.ledgers.clone(),
            seat: None,
            audit: nursery.audit.clone(),
            metrics: self.metrics,
        }
    }
}
