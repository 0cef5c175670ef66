//! What a launch knows of itself, apart from its platform: it stays when the platform has become a guest, and when that has stopped.

use std::fmt;

use stagepages_kvm::{GfnRange, PageType};

use super::{
    Answers, Ordering, Refusal, RejectedCpuid, Snapshot, State, StopFlag,
    measure::{Died, Measure},
};
use crate::{
    ledger::{Ledger, LedgerError, PageHash, PageHasher},
    platform::{Contents, Hashing, Memory, PlatformKind},
    vcpu::VcpuState,
};

/// What is known to be installed, and how the launch is to go on.
pub(super) struct Books {
    pub(super) kind: PlatformKind,
    pub(super) memory: Memory<()>,
    pub(super) ledger: Ledger,
    pub(super) stop: StopFlag,
    pub(super) chunk_pages: u64,
    pub(super) ordering: Ordering,
    pub(super) answers: Answers,
    /// How the vCPUs begin, by index.
    pub(super) vcpus: Vec<VcpuState>,
    /// The CPUID page that firmware refused last, and how that was told.
    pub(super) rejected_cpuid: Option<(RejectedCpuid, Box<Refusal>)>,
    /// What is measured, where the platform has a launch digest.
    pub(super) measure: Option<Measure>,
    hasher: PageHasher,
    /// Hashes of the chunk at hand; kept so that the hot path allocates nothing.
    hashes: Vec<PageHash>,
}

impl Books {
    /// The books of a launch with nothing installed; the save areas of its vCPUs have these SEV_FEATURES.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is its own, and there is one caller"
    )]
    pub(super) fn new(
        kind: PlatformKind,
        memory: Memory<()>,
        key: [u8; 32],
        stop: StopFlag,
        chunk_pages: u64,
        ordering: Ordering,
        vcpus: u32,
        save_area_features: u64,
    ) -> Self {
        let ledger = Ledger::new(key);
        let hasher = ledger.hasher();
        Self {
            kind,
            memory,
            ledger,
            stop,
            chunk_pages: chunk_pages.max(1),
            ordering,
            answers: Answers::default(),
            vcpus: (0..vcpus).map(|_| VcpuState::Reset).collect(),
            rejected_cpuid: None,
            measure: Measure::new(kind, vcpus, save_area_features),
            hasher,
            hashes: Vec::new(),
        }
    }

    /// The launch as it is now, in `state`.
    pub(super) fn snapshot(&self, state: State) -> Snapshot {
        let expected = self.measure.as_ref().map(Measure::expected);
        Snapshot {
            state,
            installed_pages: self.ledger.len(),
            digest: expected.map(|expected| expected.digest),
            measured_pages: expected.map_or(0, |expected| expected.pages),
            abort: None,
            stop: None,
            next_sequence: self.answers.next_sequence(),
        }
    }

    /// Waits until the digest covers all that is installed: a moment at most.
    ///
    /// # Errors
    /// It never will.
    pub(super) fn settle(&mut self) -> Result<(), Died> {
        self.measure.as_mut().map_or(Ok(()), Measure::settle)
    }

    /// The hasher of this launch's ledger.
    pub(super) fn hasher(&self) -> &PageHasher {
        &self.hasher
    }

    /// What hashes the pages of a wide installation, of `pages` pages.
    pub(super) fn hashing(&mut self, page_type: PageType, pages: u64) -> Hashing<'_> {
        let known = |pages| usize::try_from(pages).unwrap_or(usize::MAX);
        self.hashes.resize(known(pages), PageHash([0; 32]));
        Hashing {
            hasher: &self.hasher,
            page_type,
            hashes: &mut self.hashes,
            step: known(self.chunk_pages),
        }
    }

    /// The hashes of the chunk that was entered last, if its contents are known.
    pub(super) fn hashes(&self) -> &[PageHash] {
        &self.hashes
    }

    /// Everything that recording a chunk needs.
    pub(super) fn recorder(&mut self) -> Recorder<'_> {
        Recorder {
            ledger: &mut self.ledger,
            hasher: &self.hasher,
            measure: self.measure.as_mut(),
            hashes: &mut self.hashes,
        }
    }
}

/// Why pages that the platform installed are not on the books as they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotEntered {
    /// They are not in the ledger.
    #[error("the ledger cannot take what the platform installed: {0}")]
    Ledger(#[from] LedgerError),
    /// They are in the ledger, and not in the digest.
    #[error(transparent)]
    Measure(#[from] Died),
}

/// The part of the books that grows with every chunk.
pub(super) struct Recorder<'a> {
    ledger: &'a mut Ledger,
    hasher: &'a PageHasher,
    measure: Option<&'a mut Measure>,
    hashes: &'a mut Vec<PageHash>,
}

impl Recorder<'_> {
    /// Enters pages that the platform confirmed into the ledger, and hands them to be measured.
    ///
    /// `contents` are those of exactly `range`; `blank` says that all of them ought to be alike, `hashed` that [`Books::hashing`] has hashed them.
    ///
    /// # Errors
    /// The ledger holds one of them already, which no caller lets happen; or it holds them now, and they are not measured.
    pub(super) fn enter(
        self,
        range: GfnRange,
        page_type: PageType,
        contents: Contents<'_>,
        blank: bool,
        hashed: bool,
    ) -> Result<(), NotEntered> {
        let Self {
            ledger,
            hasher,
            measure,
            hashes,
        } = self;
        let Contents::Bytes(bytes) = contents else {
            ledger.append_uniform(range, page_type, hasher.zero_page_hash(page_type))?;
            if let Some(measure) = measure {
                measure.enter(range, page_type, None)?;
            }
            return Ok(());
        };
        let (pages, _) = bytes.as_chunks::<{ stagepages_kvm::PAGE_BYTES }>();
        if hashed {
            hashes.truncate(pages.len());
        } else {
            hashes.clear();
            hashes.extend(pages.iter().map(|page| hasher.hash(page_type, page)));
        }
        match hashes.first() {
            Some(first) if blank && hashes.iter().all(|hash| hash == first) => {
                ledger.append_uniform(range, page_type, *first)?;
            }
            _ => ledger.append(range, page_type, hashes)?,
        }
        if let Some(measure) = measure {
            measure.enter(range, page_type, Some(pages))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Books")
            .field("kind", &self.kind)
            .field("installed_pages", &self.ledger.len())
            .finish_non_exhaustive()
    }
}
