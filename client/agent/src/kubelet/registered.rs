//! Which resources kubelet knows, for the probes' service `devices`.
//!
//! **Invariant:** it is SERVING only while the daemon has told what there is, and kubelet knows all of that.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use stagepages_client::v1::Platform;

use crate::health::Health;

/// What probes ask for.
const SERVICE: &str = "devices";

#[derive(Debug, Default)]
struct State {
    known: bool,
    resources: BTreeMap<Platform, bool>,
}

/// Which resources kubelet knows. Clones are the same.
#[derive(Debug, Clone)]
pub struct Registered {
    health: Health,
    state: Arc<Mutex<State>>,
}

impl Registered {
    /// None is known yet.
    #[must_use]
    pub fn new(health: Health) -> Self {
        Self {
            health,
            state: Arc::default(),
        }
    }

    /// Everything begins anew.
    pub async fn forget(&self) {
        self.change(|state| *state = State::default()).await;
    }

    /// The daemon has told what there is.
    pub async fn known(&self) {
        self.change(|state| state.known = true).await;
    }

    /// Kubelet is to know this one, and does not.
    pub async fn awaits(&self, platform: Platform) {
        self.set(platform, false).await;
    }

    /// Kubelet knows this one.
    pub async fn has(&self, platform: Platform) {
        self.set(platform, true).await;
    }

    async fn set(&self, platform: Platform, registered: bool) {
        self.change(|state| {
            state.resources.insert(platform, registered);
        })
        .await;
    }

    async fn change(&self, change: impl FnOnce(&mut State)) {
        let serving = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut state);
            state.known && state.resources.values().all(|registered| *registered)
        };
        self.health.set(SERVICE, serving).await;
    }
}
