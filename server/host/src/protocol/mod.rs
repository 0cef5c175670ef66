//! The private protocol between daemon and launch host.
//!
//! One `SOCK_SEQPACKET` socket per launch, one message per frame (see [`crate::wire`]). The daemon sends a [`Request`], the host answers each
//! with one [`Response`] of the same id, and sends [`Message`]s of its own between them. Pages travel beside it, through the staging memfd
//! that comes with [`Create`]: the daemon writes them with `pwrite`, the host reads them with `pread`, so that neither maps memory that the
//! other could change or truncate under its hands.
//!
//! ```text
//! daemon                                   host
//!   Hello{version, epoch}      ──────▶
//!                              ◀──────       Welcome{version, record, snapshot}
//!   Create{spec} + staging fd  ──────▶
//!                              ◀──────       Done{snapshot}
//!   Stage{extent}              ──────▶
//!                              ◀──────       Progress (now and then)
//!                              ◀──────       Staged | Refused, each with the snapshot
//! ```
//!
//! A call that carries a number or a name is applied exactly once; the host remembers the answer (see [`crate::launch::Answers`]). A launch that
//! ends in ABORTED hands what it remembers to the daemon (`Farewell`), and the host ends.
//!
//! Messages are protobuf, so that fields can be added; a change that an older peer would misread raises [`VERSION`], and the host goes on
//! accepting [`OLDEST_VERSION`].
//!
//! **Invariant:** nothing that a peer sends is trusted: every number is converted by a function that can refuse it.

mod commands;
mod convert;
mod replies;

pub use commands::*;
pub use convert::{BadMessage, page_type_from_number, page_type_number, request_id};
pub use replies::*;

/// The version that this build speaks.
pub const VERSION: u32 = 1;

/// The oldest version that this build still accepts.
pub const OLDEST_VERSION: u32 = 1;

/// Largest number of runs in one [`RunsPage`]; with at most [`MAX_PAGE_HASHES`] hashes it fits a frame.
pub const MAX_PAGE_RUNS: usize = 512;

/// Largest number of hashes in one [`RunsPage`].
pub const MAX_PAGE_HASHES: usize = 1024;

/// Largest number of answers in one [`Farewell`].
pub const MAX_FAREWELL: usize = 64;

/// Largest number of findings that a [`VerifyReport`] carries.
pub const MAX_FINDINGS: usize = 100;
