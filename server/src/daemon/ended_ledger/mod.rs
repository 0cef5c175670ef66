//! The ledger of a launch that is over, kept in a file of its own until the launch is deleted.
//!
//! ```text
//!   host   ABORTED or STOPPED: the VM's memory is gone, the ledger is there until Bye
//!    │ ListRuns, three times over: runs as installed, places by GPA, hashes          [`copy`]
//!    ▼
//!   draft  a temporary file, written part by part, never in memory as a whole        [`draft`]
//!    │ fsync, rename; then the launch's record says so
//!    ▼
//!   file   <state_dir>/ledgers/<uid>, read in the parts that a living host tells     [`kept`]
//! ```
//!
//! All files together have a bound; the oldest go first. A file is nothing without its launch's record, which holds the counts and the seal that it is
//! read by: torn, flipped and foreign bytes are errors where they are read. A launch whose ledger could not be kept ends all the same, and its record says why.
//!
//! **Invariant:** a listing from a file is the one that the host would have told, or an error; no hash that a host keeps to itself is in a file.

mod copy;
mod draft;
mod format;
mod kept;
mod place;
mod sealed;
mod shelf;
#[cfg(test)]
mod slow_tests;
mod store;
#[cfg(test)]
mod tests;

pub(super) use copy::ON_RECORD;
pub use kept::Kept;
pub(super) use place::Place;
pub use place::{Fate, NotKept};
pub use store::Ledgers;
