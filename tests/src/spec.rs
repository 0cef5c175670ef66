//! Specs of launches, in a few words.
//!
//! **Invariant:** nothing is validated here; a test may ask for anything.
use std::time::Duration;

use stagepages_kvm::Gpa;
use stagepages_proto::v1::sim_fault::Effect;
use stagepages_proto::v1::{LaunchSpec, MemoryRegion, Platform, SimFault, SimSettings};

/// A memory region of `size` bytes at `gpa`.
#[must_use]
pub fn region(gpa: Gpa, size: u64) -> MemoryRegion {
    MemoryRegion {
        gpa: gpa.get(),
        size,
    }
}

/// A launch on `platform` with these regions and nothing else set.
#[must_use]
pub fn spec(platform: Platform, regions: impl Into<Vec<MemoryRegion>>) -> LaunchSpec {
    LaunchSpec {
        platform: platform.into(),
        regions: regions.into(),
        ..LaunchSpec::default()
    }
}

/// The script of a simulated platform.
#[derive(Debug, Clone, Default)]
pub struct SimScript(SimSettings);

impl SimScript {
    /// No latency, no faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The firmware takes `latency` for each page.
    ///
    /// # Panics
    /// If the protocol cannot express it.
    #[must_use]
    pub fn latency(mut self, latency: Duration) -> Self {
        self.0.page_latency = Some(latency.try_into().expect("a duration of the protocol"));
        self
    }

    /// `effect` strikes `times` times at `gpa`.
    #[must_use]
    pub fn fault(mut self, gpa: Gpa, times: u32, effect: Effect) -> Self {
        self.0.faults.push(SimFault {
            gpa: gpa.get(),
            times,
            effect: Some(effect),
        });
        self
    }

    /// A launch on `sim` that follows this script.
    #[must_use]
    pub fn spec(self, regions: impl Into<Vec<MemoryRegion>>) -> LaunchSpec {
        LaunchSpec {
            sim: Some(self.0),
            ..spec(Platform::Sim, regions)
        }
    }
}
