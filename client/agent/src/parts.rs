//! The parts of the agent, in the order in which they end.
//!
//! **Invariant:** whoever gives work to another part ends before it.

use crate::{cli::Settings, health::Health, kubelet, launches, supervise::Part};

/// All parts, the first to end first.
#[must_use]
pub fn parts(settings: &Settings, health: &Health) -> Vec<Part> {
    let mut parts = Vec::new();
    if !settings.only_devices {
        parts.push(controller(settings, health));
    }
    parts.push(devices(settings, health));
    parts
}

/// What carries out the custom resources.
fn controller(settings: &Settings, health: &Health) -> Part {
    let (settings, health) = (settings.clone(), health.clone());
    Part::new("controller", move |stop| {
        launches::run(settings.clone(), health.clone(), stop)
    })
}

/// What offers devices to kubelet.
fn devices(settings: &Settings, health: &Health) -> Part {
    let (settings, health) = (settings.clone(), health.clone());
    Part::new("devices", move |stop| {
        kubelet::run(settings.clone(), health.clone(), stop)
    })
}
