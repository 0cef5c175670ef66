//! All launches of this daemon, by tenant and id.
//!
//! Each tenant has ids of its own, and sees nothing of the others. An id is taken from the moment its creation begins. Creation runs in a task of its own: whoever asks for it may leave, and whoever asks
//! again with the same spec waits for the same answer.
//!
//! **Invariant:** what is found for a tenant is that tenant's.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use stagepages_proto::v1;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Launch;
use crate::{
    auth::{Bounds, Tenant},
    rpc::{reason::Reason, status::ApiError},
};

mod find;
mod room;

pub use find::{Listing, Unanswered};
pub use room::{OnTheWay, Taken};

/// The answer of a creation, once there is one.
pub type Made = Option<Result<Arc<Launch>, ApiError>>;

/// Bounds of the registry.
#[derive(Debug, Clone, Copy)]
pub struct RegistryLimits {
    /// Launches at one time, ended ones included.
    pub max_launches: u32,
}

/// By tenant and id.
type Entries = HashMap<(Tenant, String), Entry>;

/// The launches.
#[derive(Debug)]
pub struct Registry {
    entries: Mutex<Entries>,
    limits: RegistryLimits,
    sequence: AtomicU64,
    draining: CancellationToken,
    /// Hosts of which it is not known yet whose launch they hold.
    unanswered: Arc<AtomicU32>,
}

#[derive(Debug)]
struct Entry {
    /// Of the launch, from the moment its creation begins.
    uid: String,
    /// As asked for, to be compared with later requests.
    asked: v1::LaunchSpec,
    made: watch::Receiver<Made>,
    /// It was there before this daemon, and its host has not answered yet.
    awaited: bool,
}

/// What [`Registry::reserve`] found.
#[derive(Debug)]
pub enum Reservation {
    /// The id is this caller's: make the launch, and settle it with [`Registry::settle`].
    New {
        /// Its position in the order of creation.
        sequence: u64,
        /// Where the answer goes.
        made: watch::Sender<Made>,
    },
    /// Somebody makes it, or made it, with the same spec.
    Known(watch::Receiver<Made>),
}

impl Registry {
    /// No launches.
    #[must_use]
    pub fn new(limits: RegistryLimits) -> Self {
        Self {
            entries: Mutex::new(HashMap::new()),
            limits,
            sequence: AtomicU64::new(1),
            draining: CancellationToken::new(),
            unanswered: Arc::default(),
        }
    }

    /// From now on no launch is created.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Whether no launch is created any more.
    pub fn draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Waits until no launch is created any more.
    pub async fn drained(&self) {
        self.draining.cancelled().await;
    }

    /// Takes an id for a launch that is about to be made.
    ///
    /// # Errors
    /// DRAINING, LAUNCH_EXISTS, NO_CAPACITY, QUOTA_EXCEEDED.
    pub fn reserve(
        &self,
        bounds: &Bounds,
        id: &str,
        uid: &str,
        asked: &v1::LaunchSpec,
    ) -> Result<Reservation, ApiError> {
        let mut entries = self.lock();
        let key = (bounds.tenant.clone(), id.to_owned());
        if let Some(entry) = entries.get(&key) {
            if entry.asked == *asked {
                return Ok(Reservation::Known(entry.made.clone()));
            }
            let message = format!(
                "launch_id {id} is in use by a launch with another spec; choose another id, or abort and delete that launch"
            );
            return Err(ApiError::new(Reason::LaunchExists, message).launch(id));
        }
        if self.draining() {
            let message = "the daemon is shutting down and creates no launches; try again when it is back, or on another machine";
            return Err(ApiError::new(Reason::Draining, message).launch(id));
        }
        if self.has_all(&entries) {
            let message = format!(
                "{} launches exist, as many as this daemon keeps; delete ended ones",
                entries.len()
            );
            return Err(ApiError::new(Reason::NoCapacity, message)
                .launch(id)
                .quota("launches", "max_launches of the daemon's configuration"));
        }
        room::for_launch(&entries, bounds, asked).map_err(|error| error.launch(id))?;
        let (sender, made) = watch::channel(None);
        entries.insert(
            key,
            Entry {
                uid: uid.to_owned(),
                asked: asked.clone(),
                made,
                awaited: false,
            },
        );
        Ok(Reservation::New {
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed),
            made: sender,
        })
    }

    /// Takes an id for a launch of an earlier daemon, whose host is still to answer; settled as any other.
    ///
    /// Nothing is refused for being too many: what was promised is kept. `None` if the id is in use.
    pub fn await_host(
        &self,
        tenant: &Tenant,
        id: &str,
        uid: &str,
        sequence: u64,
        asked: v1::LaunchSpec,
    ) -> Option<watch::Sender<Made>> {
        let mut entries = self.lock();
        let key = (tenant.clone(), id.to_owned());
        if entries.contains_key(&key) {
            return None;
        }
        let (sender, made) = watch::channel(None);
        entries.insert(
            key,
            Entry {
                uid: uid.to_owned(),
                asked,
                made,
                awaited: true,
            },
        );
        self.sequence.fetch_max(sequence + 1, Ordering::Relaxed);
        Some(sender)
    }

    /// Takes in a launch of an earlier daemon, unless its id is in use: then it comes back.
    pub fn restore(&self, launch: Arc<Launch>) -> Result<(), Arc<Launch>> {
        let mut entries = self.lock();
        let key = key(&launch);
        if entries.contains_key(&key) {
            return Err(launch);
        }
        self.sequence
            .fetch_max(launch.sequence + 1, Ordering::Relaxed);
        let (uid, asked) = (launch.uid.clone(), launch.asked.clone());
        let (_, made) = watch::channel(Some(Ok(launch)));
        entries.insert(
            key,
            Entry {
                uid,
                asked,
                made,
                awaited: false,
            },
        );
        Ok(())
    }

    /// Publishes what came of a reservation. A failed one frees the id before anyone learns of it.
    pub fn settle(
        &self,
        tenant: &Tenant,
        id: &str,
        made: &watch::Sender<Made>,
        result: Result<Arc<Launch>, ApiError>,
    ) {
        if result.is_err() {
            self.lock().remove(&(tenant.clone(), id.to_owned()));
        }
        made.send_replace(Some(result));
    }

    /// Whether there are as many launches as there may be, of all tenants.
    pub fn is_full(&self) -> bool {
        self.has_all(&self.lock())
    }

    fn has_all(&self, entries: &Entries) -> bool {
        entries.len() as u64 >= self.limits.max_launches.into()
    }

    /// Forgets a launch, if it still is this one.
    pub fn remove(&self, launch: &Launch) -> bool {
        let mut entries = self.lock();
        let same = entries
            .get(&key(launch))
            .and_then(Entry::launch)
            .is_some_and(|known| known.uid == launch.uid);
        same && entries.remove(&key(launch)).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(launch: &Launch) -> (Tenant, String) {
    (launch.tenant.clone(), launch.id.clone())
}

impl Entry {
    fn launch(&self) -> Option<Arc<Launch>> {
        self.made
            .borrow()
            .as_ref()
            .and_then(|made| made.as_ref().ok())
            .cloned()
    }
}
