//! A launch that takes pages.

use std::fmt;

use stagepages_kvm::{GfnRange, PageType};

use super::{Answers, Ordering, Snapshot, State, StopFlag};
use crate::{
    digest::SnpDigest,
    ledger::{Ledger, LedgerError, PageHash, PageHasher},
    platform::{Contents, Memory, Platform, PlatformKind},
};

/// CREATED or STAGING: the platform, and what is known to be installed.
pub struct Open {
    pub(super) platform: Box<dyn Platform>,
    pub(super) memory: Memory<()>,
    pub(super) ledger: Ledger,
    pub(super) stop: StopFlag,
    pub(super) chunk_pages: u64,
    pub(super) ordering: Ordering,
    pub(super) answers: Answers,
    hasher: PageHasher,
    digest: Option<SnpDigest>,
    /// Hashes of the chunk at hand; kept so that the hot path allocates nothing.
    hashes: Vec<PageHash>,
}

impl Open {
    /// A launch with nothing installed, on a platform that has these regions.
    ///
    /// `key` is random and this launch's own: it keys the hashes of pages whose contents are nobody's business. A chunk of
    /// `chunk_pages` (at least 1) is installed without looking up.
    #[must_use]
    pub fn new(
        platform: Box<dyn Platform>,
        memory: Memory<()>,
        key: [u8; 32],
        stop: StopFlag,
        chunk_pages: u64,
        ordering: Ordering,
    ) -> Self {
        let ledger = Ledger::new(key);
        let digest = match platform.kind() {
            PlatformKind::Sim | PlatformKind::SevSnp => Some(SnpDigest::new()),
            PlatformKind::Kvm | PlatformKind::Tdx => None,
        };
        let hasher = ledger.hasher();
        Self {
            platform,
            memory,
            ledger,
            stop,
            chunk_pages: chunk_pages.max(1),
            ordering,
            answers: Answers::default(),
            hasher,
            digest,
            hashes: Vec::new(),
        }
    }

    /// The launch as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let installed_pages = self.ledger.len();
        let state = if installed_pages == 0 {
            State::Created
        } else {
            State::Staging
        };
        Snapshot {
            state,
            installed_pages,
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

    /// Everything that recording needs, apart from the platform, whose memory the contents are borrowed from.
    pub(super) fn split(&mut self) -> (&mut dyn Platform, Recorder<'_>) {
        let recorder = Recorder {
            ledger: &mut self.ledger,
            hasher: &self.hasher,
            digest: self.digest.as_mut(),
            hashes: &mut self.hashes,
        };
        (self.platform.as_mut(), recorder)
    }
}

/// The books of an open launch, without its platform.
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

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open")
            .field("platform", &self.platform.kind())
            .field("snapshot", &self.snapshot())
            .finish_non_exhaustive()
    }
}
