//! Why the ledger refuses an entry.
//!
//! **Invariant:** no variant means that anything was recorded.

use stagepages_kvm::{Gfn, GfnRange};

/// A refused append; the ledger is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// A page of the range is installed; this is the first. Ask for the free prefix before installing.
    #[error(
        "GFN {gfn} is already installed, and no page is installed twice in a launch; append only what the ledger does not hold"
    )]
    AlreadyInstalled {
        /// The lowest installed page of the range.
        gfn: Gfn,
    },
    /// Not one hash for each page.
    #[error("hashes: {hashes} for the {} pages of {range}; give one for each page", .range.pages())]
    HashCount {
        /// What was appended.
        range: GfnRange,
        /// How many hashes came with it.
        hashes: usize,
    },
}
