//! What a launch knows of itself, apart from its platform: it stays when the platform has become a guest, and when that has stopped.

use std::fmt;

use stagepages_kvm::{GfnRange, PageType};

use super::{Answers, Ordering, Refusal, RejectedCpuid, Snapshot, State, StopFlag};
use crate::{
    digest::SnpDigest,
    ledger::{Ledger, LedgerError, PageHash, PageHasher},
    platform::{Contents, Memory, PlatformKind},
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
    hasher: PageHasher,
    digest: Option<SnpDigest>,
    /// Hashes of the chunk at hand; kept so that the hot path allocates nothing.
    hashes: Vec<PageHash>,
}

impl Books {
    /// The books of a launch with nothing installed.
    pub(super) fn new(
        kind: PlatformKind,
        memory: Memory<()>,
        key: [u8; 32],
        stop: StopFlag,
        chunk_pages: u64,
        ordering: Ordering,
        vcpus: u32,
    ) -> Self {
        let ledger = Ledger::new(key);
        let digest = match kind {
            PlatformKind::Sim | PlatformKind::SevSnp => Some(SnpDigest::new()),
            PlatformKind::Kvm | PlatformKind::Tdx => None,
        };
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
            hasher,
            digest,
            hashes: Vec::new(),
        }
    }

    /// The launch as it is now, in `state`.
    pub(super) fn snapshot(&self, state: State) -> Snapshot {
        Snapshot {
            state,
            installed_pages: self.ledger.len(),
            digest: self.digest(),
            abort: None,
            stop: None,
            next_sequence: self.answers.next_sequence(),
        }
    }

    /// The launch digest of what is installed, where the platform has one.
    pub(super) fn digest(&self) -> Option<[u8; 48]> {
        self.digest.as_ref().map(SnpDigest::value)
    }

    /// The hasher of this launch's ledger.
    pub(super) fn hasher(&self) -> &PageHasher {
        &self.hasher
    }

    /// Everything that recording a chunk needs.
    pub(super) fn recorder(&mut self) -> Recorder<'_> {
        Recorder {
            ledger: &mut self.ledger,
            hasher: &self.hasher,
            digest: self.digest.as_mut(),
            hashes: &mut self.hashes,
        }
    }
}

/// The part of the books that grows with every chunk.
pub(super) struct Recorder<'a> {
    ledger: &'a mut Ledger,
    hasher: &'a PageHasher,
    digest: Option<&'a mut SnpDigest>,
    hashes: &'a mut Vec<PageHash>,
}

impl Recorder<'_> {
    /// Enters pages that the platform confirmed into ledger and digest.
    ///
    /// `contents` are those of exactly `range`; `blank` says that all of them ought to be alike.
    ///
    /// # Errors
    /// The ledger holds one of them already, which no caller lets happen.
    pub(super) fn enter(
        self,
        range: GfnRange,
        page_type: PageType,
        contents: Contents<'_>,
        blank: bool,
    ) -> Result<(), LedgerError> {
        let Self {
            ledger,
            hasher,
            digest,
            hashes,
        } = self;
        let Contents::Bytes(bytes) = contents else {
            ledger.append_uniform(range, page_type, hasher.zero_page_hash(page_type))?;
            if let Some(digest) = digest {
                range
                    .iter()
                    .for_each(|gfn| digest.extend(gfn.gpa(), page_type, None));
            }
            return Ok(());
        };
        let (pages, _) = bytes.as_chunks::<{ stagepages_kvm::PAGE_BYTES }>();
        hashes.clear();
        hashes.extend(pages.iter().map(|page| hasher.hash(page_type, page)));
        match hashes.first() {
            Some(first) if blank && hashes.iter().all(|hash| hash == first) => {
                ledger.append_uniform(range, page_type, *first)?;
            }
            _ => ledger.append(range, page_type, hashes)?,
        }
        if let Some(digest) = digest {
            range
                .iter()
                .zip(pages)
                .for_each(|(gfn, page)| digest.extend(gfn.gpa(), page_type, Some(page)));
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
