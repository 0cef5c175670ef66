//! Where the ledger of one launch is, and what is said where it is not.
//!
//! **Invariant:** what became of a ledger is decided once, and a host is not held back for ever.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::format::Note;
use crate::daemon::{Ending, Status};

/// What is said of launches that ended before anybody thought of their ledgers, or while nobody looked.
const UNKNOWN: &str = "its launch host was gone before a daemon had read it, or the daemon that saw the end was of an older version; read it before the launch is over";

/// What became of the ledger of a launch that is over, as its record says. Append only.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Fate {
    /// It is in a file.
    #[prost(message, optional, tag = "1")]
    pub kept: Option<Note>,
    /// It is not: why, and what to do.
    #[prost(string, tag = "2")]
    pub missing: String,
}

/// Why there is no ledger to read.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// It is being read from the host.
    #[error("its ledger is still read from its launch host; try again")]
    NotYet,
    /// There is none any more.
    #[error("its ledger is not kept: {0}")]
    Missing(String),
    /// It cannot be read now.
    #[error(
        "its ledger could not be read in time, because many are read or the disk of state_dir is slow; try again"
    )]
    Busy,
    /// It cannot be read.
    #[error("its ledger cannot be read: {0}")]
    Unreadable(io::Error),
}

impl From<io::Error> for NotKept {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::TimedOut {
            Self::Busy
        } else {
            Self::Unreadable(error)
        }
    }
}

/// The place of one launch's ledger.
#[derive(Debug)]
pub(in crate::daemon) struct Place {
    stage: watch::Sender<Stage>,
    /// Until when the host waits for records to be written.
    held: Mutex<Option<Instant>>,
}

#[derive(Debug, Clone, PartialEq)]
enum Stage {
    /// With the host.
    WithHost,
    /// On its way from there to a file, within bounds.
    Moving,
    /// Decided.
    Settled(Fate),
}

impl Fate {
    /// None is kept, for this reason, which ends with what to do.
    pub(in crate::daemon) fn missing(why: impl Into<String>) -> Self {
        Self {
            kept: None,
            missing: why.into(),
        }
    }

    /// What is said of a ledger that went with its host, by how the launch ended.
    pub(in crate::daemon) fn lost(status: &Status) -> Self {
        let text = match &status.ending {
            Some(Ending::Died(exit)) => format!(
                "its launch host died ({}), and the ledger with it; create a new launch",
                exit.status
            ),
            Some(Ending::Killed) => {
                "its launch host did not react and was killed, and the ledger with it; create a new launch".to_owned()
            }
            Some(Ending::Told) | None => UNKNOWN.to_owned(),
        };
        Self::missing(text)
    }
}

impl Place {
    /// The place of a ledger of which this is on record.
    pub(in crate::daemon) fn new(fate: Option<Fate>) -> Self {
        Self {
            stage: watch::Sender::new(fate.map_or(Stage::WithHost, Stage::Settled)),
            held: Mutex::default(),
        }
    }

    /// What goes on record.
    pub(in crate::daemon) fn fate(&self) -> Option<Fate> {
        match &*self.stage.borrow() {
            Stage::Settled(fate) => Some(fate.clone()),
            Stage::WithHost | Stage::Moving => None,
        }
    }

    /// Whether the host is needed for it, which has bounds of its own.
    pub(in crate::daemon) fn needs_host(&self) -> bool {
        let held = self.held().is_some_and(|until| Instant::now() < until);
        held || *self.stage.borrow() == Stage::Moving
    }

    /// Takes that the host waits for a record to be written, no longer than `bound`.
    pub(in crate::daemon) fn hold(&self, bound: Duration) {
        *self.held() = Some(Instant::now() + bound);
    }

    /// Takes that the host waits no more.
    pub(in crate::daemon) fn let_go(&self) {
        *self.held() = None;
    }

    /// Takes that it is on its way; `false` if all is decided.
    pub(super) fn begin(&self) -> bool {
        self.stage.send_if_modified(|stage| {
            let begins = *stage == Stage::WithHost;
            if begins {
                *stage = Stage::Moving;
            }
            begins
        })
    }

    /// Decides, unless that was done.
    pub(in crate::daemon) fn settle(&self, fate: Fate) {
        self.stage.send_if_modified(|stage| {
            let open = !matches!(stage, Stage::Settled(_));
            if open {
                *stage = Stage::Settled(fate);
            }
            open
        });
    }

    /// Waits until it is decided.
    pub(super) async fn settled(&self) -> Fate {
        let mut stage = self.stage.subscribe();
        loop {
            if let Stage::Settled(fate) = &*stage.borrow_and_update() {
                return fate.clone();
            }
            // The sender is this place's own: it cannot be gone.
            drop(stage.changed().await);
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<Instant>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
