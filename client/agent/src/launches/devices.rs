//! Which device is which launch's.
//!
//! **Invariant:** a device is at most one living launch's, and only of the pod that kubelet gave it to.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::{
    cli::Settings,
    fault::Fault,
    kubelet::assignments::{AssignmentError, Assignments, Holder},
    resources::Platform,
};

/// What kubelet says, and what of it is taken.
#[derive(Debug)]
pub(super) struct Devices {
    assignments: Assignments,
    /// Device by the uid of the object that has it.
    taken: Mutex<HashMap<String, String>>,
}

impl Devices {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            assignments: Assignments::new(settings),
            taken: Mutex::default(),
        }
    }

    /// The pod's devices of a platform.
    pub(super) async fn allotted(
        &self,
        namespace: &str,
        pod: &str,
        platform: Platform,
    ) -> Result<Vec<String>, Fault> {
        let devices = self.assignments.devices_of(namespace, pod).await;
        let devices = devices.map_err(|error: AssignmentError| {
            Fault::passing("KUBELET_UNREACHABLE", error.to_string())
        })?;
        let of_platform = devices
            .into_iter()
            .filter(|it| it.platform == platform.into());
        Ok(of_platform.map(|it| it.to_string()).collect())
    }

    /// Who has a device, by kubelet's word.
    pub(super) async fn holder(&self, device: &str) -> Result<Option<Holder>, Fault> {
        let Ok(id) = device.parse() else {
            return Ok(None);
        };
        let holder = self.assignments.holder_of(id).await;
        holder.map_err(|error| Fault::passing("KUBELET_UNREACHABLE", error.to_string()))
    }

    /// The first of `allotted` that no other object has.
    pub(super) fn take(&self, uid: &str, allotted: &[String]) -> Option<String> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let free = |device: &&String| taken.iter().all(|(by, it)| by == uid || it != *device);
        let device = allotted.iter().find(free)?.clone();
        taken.insert(uid.to_owned(), device.clone());
        Some(device)
    }

    /// What an object had before the agent was started.
    pub(super) fn hold(&self, uid: &str, device: &str) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.insert(uid.to_owned(), device.to_owned());
    }

    /// The object is over.
    pub(super) fn leave(&self, uid: &str) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(uid);
    }
}
