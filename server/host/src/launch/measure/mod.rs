//! What the launch is expected to be measured as: the digest of the pages that are installed, kept while they are, and of the vCPUs as they would begin.
//!
//! ```text
//!  launch thread                                  measuring thread
//!    enter(chunk) ──copy into one of two buffers──▶ hashes it, publishes digest and count, gives the buffer back
//!    expected()   ◀───────── digest and count of what was published ──────────┘
//!    settle()     ◀───────── both buffers: everything entered is published
//! ```
//!
//! SHA-384 of a page takes longer than all else that the host does for it, so a thread of its own does it while the platform installs the next chunk.
//! The digest then lags, by two chunks at most, and says how many pages it covers. A launch on a platform without a digest has none of this, and one
//! without pages neither thread nor buffers.
//!
//! Neither SNP's firmware nor KVM tells the host what it measured, so this is an expectation: of the same pages in the same order, and of the save areas
//! that KVM makes of the vCPUs' registers when staging ends.
//!
//! **Invariant:** the digest covers exactly the pages that it says, the first ones that were entered, whatever became of the thread.

mod pages;
mod thread;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stagepages_digest::{Value, snp, vmsa};
use stagepages_kvm::{GfnRange, PAGE_BYTES, PageType};

use super::{Reason, Refusal};
use crate::{platform::PlatformKind, vcpu::VcpuState};
use pages::Pages;
use thread::{SLOT_PAGES, SLOTS, Thread, Told};

/// Pages of memory that a launch locks to be measured, where it locks any.
pub(crate) const MEASURING_PAGES: u64 = (SLOTS * SLOT_PAGES) as u64;

/// The thread is gone although the launch is not: what was entered since is not in the digest and never will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the thread that computes the launch digest died, so that what is measured from here on is not known"
)]
pub(super) struct Died;

/// A digest and the number of pages that it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) digest: Value,
    /// The first this many pages in order of installation.
    pub(super) pages: u64,
}

/// The measurement of one launch.
#[derive(Debug)]
pub(super) struct Measure {
    told: Arc<Mutex<Told>>,
    work: Work,
    /// How the platform's pages are locked.
    confidential: bool,
    /// SEV_FEATURES of every save area.
    features: u64,
    /// SHA-384 of each vCPU's save area as it would begin, by index; none on `tdx`, whose vCPUs are not in MRTD.
    save_areas: Vec<Value>,
}

#[derive(Debug)]
enum Work {
    /// Nothing was entered yet.
    Unneeded,
    /// Under way.
    Thread(Thread),
    /// All that there will be is published.
    Over,
}

impl Measure {
    /// Of a launch without pages on this platform, with `vcpus` vCPUs as the architecture resets them; `None` if it has no digest.
    pub(super) fn new(kind: PlatformKind, vcpus: u32, features: u64) -> Option<Self> {
        let pages = match kind {
            PlatformKind::Sim | PlatformKind::SevSnp => Pages::Snp(snp::LaunchDigest::new()),
            PlatformKind::Tdx => Pages::Tdx(stagepages_digest::tdx::Mrtd::new()),
            PlatformKind::Kvm => return None,
        };
        let save_areas = match &pages {
            Pages::Snp(_) => {
                let reset = save_area(&VcpuState::Reset, features);
                (0..vcpus).map(|_| reset).collect()
            }
            Pages::Tdx(_) => Vec::new(),
        };
        Some(Self {
            told: Arc::new(Mutex::new(Told { pages, count: 0 })),
            work: Work::Unneeded,
            confidential: kind.confidential(),
            features,
            save_areas,
        })
    }

    /// The vCPU of this index will begin like this.
    pub(super) fn set_vcpu(&mut self, index: usize, state: &VcpuState) {
        if let Some(kept) = self.save_areas.get_mut(index) {
            *kept = save_area(state, self.features);
        }
    }

    /// Makes what [`enter`](Self::enter) needs, before the platform is asked for a page.
    ///
    /// # Errors
    /// `NoCapacity`: the kernel gives no thread, or lets no more memory be locked. Nothing changed.
    pub(super) fn begin(&mut self) -> Result<(), Refusal> {
        if !matches!(self.work, Work::Unneeded) {
            return Ok(());
        }
        let thread = Thread::start(Arc::clone(&self.told), self.confidential);
        self.work = Work::Thread(thread.map_err(|error| {
            let text = format!(
                "no room to compute the launch digest, which takes a thread and two locked buffers of {} KiB: {error}; raise RLIMIT_MEMLOCK or RLIMIT_NPROC, and send it again",
                (SLOT_PAGES * PAGE_BYTES) >> 10
            );
            Refusal::new(Reason::NoCapacity, text)
        })?);
        Ok(())
    }

    /// Takes pages that were installed, the next ones; `contents` are theirs, or none for zeros and what nobody sees. Waits, when both buffers are in use,
    /// for as long as hashing one takes.
    ///
    /// # Errors
    /// [`Died`].
    pub(super) fn enter(
        &mut self,
        range: GfnRange,
        page_type: PageType,
        contents: Option<&[[u8; PAGE_BYTES]]>,
    ) -> Result<(), Died> {
        let Work::Thread(thread) = &mut self.work else {
            return Err(Died);
        };
        // Of every other type the digest has the address, and the type; what such a page holds goes nowhere.
        let Some(contents) = contents.filter(|_| page_type == PageType::Normal) else {
            return thread.measure(range, page_type, None);
        };
        let mut done = 0;
        for piece in contents.chunks(SLOT_PAGES) {
            let pages = piece.len() as u64;
            let part = range.skip(done).and_then(|rest| rest.take(pages));
            thread.measure(part.ok_or(Died)?, page_type, Some(piece))?;
            done += pages;
        }
        Ok(())
    }

    /// Waits until everything that was entered is published: at most for as long as hashing two buffers takes.
    ///
    /// # Errors
    /// [`Died`].
    pub(super) fn settle(&mut self) -> Result<(), Died> {
        match &mut self.work {
            Work::Thread(thread) => thread.settle(),
            Work::Unneeded | Work::Over => Ok(()),
        }
    }

    /// Ends the thread, and wipes and gives back its buffers: no more pages come. The digest stays.
    pub(super) fn close(&mut self) {
        self.work = Work::Over;
    }

    /// What the launch would be measured as, had it the pages that are published and its vCPUs as they would begin now. Never waits for hashing.
    pub(super) fn expected(&self) -> Expected {
        let told = lock(&self.told);
        Expected {
            digest: told.pages.with_save_areas(&self.save_areas),
            pages: told.count,
        }
    }
}

fn save_area(state: &VcpuState, features: u64) -> Value {
    let registers = state.registers().unwrap_or_else(vmsa::Registers::reset);
    snp::vmsa_hash(&vmsa::page(&registers, features))
}

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
