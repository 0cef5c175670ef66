//! What a bench's platform makes of a case: what can be looked at, and how long things take.
//!
//! **Invariant:** decides nothing about what a case asserts but what [`abilities`] says of the platform.
use stagepages_kvm::Gpa;
use stagepages_proto::v1::{Launch, Platform};

use crate::abilities::{Abilities, abilities};
use crate::bench::Bench;
use crate::guest::GuestMemory;

/// Pages of extents that a test interrupts: so many that it gets there in time, and so few that the rest is no wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Of one extent of zeros, which takes about a second.
    pub(crate) slow_pages: u64,
    /// Of a file of several messages.
    pub(crate) file_pages: u64,
}

impl Bench {
    /// What its platform can have.
    #[must_use]
    pub fn abilities(&self) -> Abilities {
        abilities(self.platform)
    }

    /// How many of `pages` installed pages VerifyLaunch looks at: all, or none where the host sees none.
    #[must_use]
    pub fn verified(&self, pages: u64) -> u64 {
        verified(self.platform, pages)
    }

    /// The region of `bytes` bytes of `launch`, read behind the product's back. Only where the hardware keeps it from everybody is there none;
    /// what a launch holds there is its digest's to tell. A launch of which this is asked has no other region of that size.
    ///
    /// # Panics
    /// If the launch host does not have it.
    #[must_use]
    pub fn memory_of(&self, launch: &Launch, bytes: u64) -> Option<GuestMemory> {
        if self.daemon.is_modelled() {
            return Some(GuestMemory::of_model(launch.host_pid, bytes));
        }
        let open = self.abilities().open_memory;
        open.then(|| GuestMemory::open(launch.host_pid, bytes))
    }

    /// Asserts that a launch that [`Self::launch`] made holds `bytes` at `at`, wherever that can be seen.
    ///
    /// # Panics
    /// If it holds something else.
    pub fn assert_holds(&self, launch: &Launch, at: Gpa, bytes: &[u8]) {
        let size = launch.spec.as_ref().map_or(0, |spec| spec.regions[0].size);
        if let Some(memory) = self.memory_of(launch, size) {
            assert!(
                memory.read(at, bytes.len()) == bytes,
                "other bytes at {at} than were sent"
            );
        }
    }

    /// Pages of a file that takes several messages to send, but where the platform is slow only part of one.
    #[must_use]
    pub fn file_pages(&self) -> u64 {
        self.pace().file_pages
    }

    pub(crate) fn pace(&self) -> Pace {
        let (slow_pages, file_pages) = match (self.platform, self.daemon.is_modelled()) {
            // By script.
            (Platform::Sim | Platform::Unspecified, _) => (512, 256),
            // As fast as memory.
            (Platform::Kvm, _) => (2 << 18, 64 << 10),
            // Two hashes and two copies a page.
            (Platform::SevSnp | Platform::Tdx, true) => (64 << 10, 16 << 10),
            // Firmware takes about a millisecond a page; the TDX module measures it in sixteen calls.
            (Platform::SevSnp, false) => (2 << 10, 2 << 10),
            (Platform::Tdx, false) => (32 << 10, 16 << 10),
        };
        Pace {
            slow_pages,
            file_pages,
        }
    }
}

/// See [`Bench::verified`].
pub(crate) fn verified(platform: Platform, pages: u64) -> u64 {
    if abilities(platform).open_memory {
        pages
    } else {
        0
    }
}
