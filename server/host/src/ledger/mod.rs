//! The ledger: the authority on which pages one launch has installed, as what, and in which order.
//!
//! No kernel keeps this book. Plain guest_memfd never refused a second write, Linux 7.0 removed the common check from
//! `kvm_gmem_populate()` (virt/kvm/guest_memfd.c), and SNP reports every failed populate as EIO. So it is here that one asks
//! whether a page exists.
//!
//! ```text
//!  index   GFN of a run's first page ──▶ number of the run       one entry a run, in ascending order of GFN
//!  runs    number ──▶ first GFN, first ordinal, first hash, …    in order of installation, 17 bytes each
//!  hashes  one BLAKE3-256 a page, one for a whole uniform run    in order of installation, 32 bytes each
//! ```
//!
//! A page's *ordinal* says how many pages were installed before it. A *run* is pages of one type whose GFNs and whose
//! ordinals both count up by one; an extent that goes on where the last run ended makes that run longer. A run is *uniform*
//! if it was appended as equal pages, which then share one hash; it does not mix with a run that was not. Runs and hashes
//! live in chunks that never move, so that a ledger of millions of pages grows without a pause or a second copy of itself.
//!
//! **Invariant:** nothing is ever removed or changed. A page has one entry or none, and an append that is refused leaves no trace.

mod chunked;
mod error;
mod page_hash;
mod run;
mod u40;
mod walk;

#[cfg(test)]
mod model_tests;

use std::collections::BTreeMap;
use std::fmt;

use stagepages_kvm::{Gfn, GfnRange, PageType};

pub use error::LedgerError;
pub use page_hash::{PageHash, PageHasher, hash_is_private};
pub use run::Run;

use chunked::Chunked;
use run::{NewRun, RunTable};
use u40::U40;

/// Hashes that are allocated together: 8 KiB.
const HASHES_PER_CHUNK: usize = 256;

/// What [`BTreeMap`] and the allocator under it need for one entry of the index, in bytes: 13 for key and value, the rest
/// for nodes that are a little over half full. `tests/ledger_memory.rs` holds the estimate against an allocator's count.
const INDEX_BYTES_PER_RUN: usize = 30;

/// The installed pages of one launch.
pub struct Ledger {
    hasher: PageHasher,
    /// First GFN of each run, to its number in `runs`.
    index: BTreeMap<Gfn, U40>,
    runs: RunTable,
    hashes: Chunked<PageHash, HASHES_PER_CHUNK>,
}

/// What the ledger knows of one installed page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The type it was installed with.
    pub page_type: PageType,
    /// The hash of the bytes that were installed.
    pub hash: PageHash,
    /// How many pages of the launch were installed before it.
    pub ordinal: u64,
}

impl Ledger {
    /// An empty ledger. `key` keys the hashes that never leave the host ([`hash_is_private`]): random, and this launch's alone.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self {
            hasher: PageHasher::new(key),
            index: BTreeMap::new(),
            runs: RunTable::new(),
            hashes: Chunked::new(),
        }
    }

    /// A hasher with this launch's key, for the threads that hash.
    #[must_use]
    pub fn hasher(&self) -> PageHasher {
        self.hasher.clone()
    }

    /// How many pages are installed.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.runs.pages()
    }

    /// Whether no page is installed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Records that the pages of `range` were just installed, in ascending order, with these hashes: one a page.
    ///
    /// # Errors
    ///
    /// A page of `range` is installed already, or `hashes` is not one for each page. The ledger is then unchanged.
    pub fn append(
        &mut self,
        range: GfnRange,
        page_type: PageType,
        hashes: &[PageHash],
    ) -> Result<(), LedgerError> {
        if hashes.len() as u64 != range.pages() {
            return Err(LedgerError::HashCount {
                range,
                hashes: hashes.len(),
            });
        }
        self.refuse_installed(range)?;
        if self.continued_run(range, page_type, false).is_some() {
            self.runs.lengthen_last(range.pages());
        } else {
            self.open_run(range, page_type, false);
        }
        self.hashes.extend_from_slice(hashes);
        Ok(())
    }

    /// Records that the pages of `range` were just installed, in ascending order, all of them with the bytes of `hash`.
    ///
    /// # Errors
    ///
    /// A page of `range` is installed already. The ledger is then unchanged.
    pub fn append_uniform(
        &mut self,
        range: GfnRange,
        page_type: PageType,
        hash: PageHash,
    ) -> Result<(), LedgerError> {
        self.refuse_installed(range)?;
        let continued = self.continued_run(range, page_type, true);
        if continued.is_some_and(|last| self.hash_at(last.first_ordinal) == Some(hash)) {
            self.runs.lengthen_last(range.pages());
        } else {
            self.open_run(range, page_type, true);
            self.hashes.push(hash);
        }
        Ok(())
    }

    /// What is known of the page at `gfn`, or `None` if it is not installed.
    #[must_use]
    pub fn get(&self, gfn: Gfn) -> Option<Entry> {
        let run = self.run_holding(gfn)?;
        let ordinal = run.first_ordinal + (gfn.get() - run.range.start().get());
        let hash = self.hash_at(ordinal)?;
        Some(Entry {
            page_type: run.page_type,
            hash,
            ordinal,
        })
    }

    /// The lowest installed GFN of `range`.
    #[must_use]
    pub fn first_installed(&self, range: GfnRange) -> Option<Gfn> {
        if self.run_holding(range.start()).is_some() {
            return Some(range.start());
        }
        self.index
            .range(range.start()..=range.last())
            .next()
            .map(|(start, _)| *start)
    }

    /// How many pages of `range` come before its first installed one: what can be installed of it now.
    #[must_use]
    pub fn free_prefix(&self, range: GfnRange) -> u64 {
        self.first_installed(range)
            .map_or(range.pages(), |gfn| gfn.get() - range.start().get())
    }

    /// The heap that the ledger holds, in bytes. Of the index it is an estimate: the standard library hides its allocations.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.hashes.heap_bytes() + self.runs.heap_bytes() + self.index.len() * INDEX_BYTES_PER_RUN
    }

    fn refuse_installed(&self, range: GfnRange) -> Result<(), LedgerError> {
        self.first_installed(range)
            .map_or(Ok(()), |gfn| Err(LedgerError::AlreadyInstalled { gfn }))
    }

    /// The last run, if `range` goes on where it ended.
    fn continued_run(&self, range: GfnRange, page_type: PageType, uniform: bool) -> Option<Run> {
        self.runs.last().filter(|last| {
            last.page_type == page_type
                && last.uniform == uniform
                && last.range.end_frame() == range.start().get()
        })
    }

    fn open_run(&mut self, range: GfnRange, page_type: PageType, uniform: bool) {
        let number = self.runs.push(NewRun {
            range,
            page_type,
            uniform,
            first_hash: self.hashes.len(),
        });
        self.index.insert(range.start(), U40::new(number));
    }

    /// The run that holds the page at `gfn`.
    fn run_holding(&self, gfn: Gfn) -> Option<Run> {
        let (_, number) = self.index.range(..=gfn).next_back()?;
        self.runs
            .get(number.get())
            .filter(|run| run.range.contains(gfn))
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("pages", &self.len())
            .field("runs", &self.index.len())
            .finish_non_exhaustive()
    }
}
