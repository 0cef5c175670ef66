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
//!   Create{spec} + staging fd  ──────▶         or, if there is a launch: Staging + staging fd
//!                              ◀──────       Done{snapshot}
//!   Stage{extent}              ──────▶
//!                              ◀──────       Progress (now and then)
//!                              ◀──────       Staged | Refused, each with the snapshot
//!   Abort                      ──────▶
//!                              ◀──────       Done{snapshot}, Farewell
//!   Bye                        ──────▶         the host ends
//! ```
//!
//! A call that carries a number or a name is applied exactly once; the host remembers the answer (see [`crate::launch::Answers`]).
//!
//! The end takes two: the host of a launch that is over gives back the VM's memory, tells what it remembers (`Farewell`), and stays until a
//! daemon says that this is safe elsewhere (`Bye`). A daemon that dies between the two finds it all again when it is back.
//!
//! From version 3 on, the host can run the guest (`Start`, `Stop`, the console). A host of version 2 is not sent these commands: it would hang up.
//! What the guest writes goes to every daemon that listens (`ListenConsole`), from a buffer of the newest [`CONSOLE_BUFFER`] bytes, so that a daemon
//! that reads slowly misses something rather than hold up the guest. Input has credit: at most [`CONSOLE_INPUT`] bytes are on their way.
//!
//! From version 4 on, there are confidential platforms: settings in [`Create`], more to [`Finish`] with, and `GetRejectedCpuid`.
//!
//! From version 5 on, a [`Snapshot`] tells the launch digest that the launch is expected to end in, vCPUs included, and of TDX too. Hosts before told
//! that of the pages alone, and of TDX none.
//!
//! From version 5 on, too, a host of an ABORTED launch still answers [`ListRuns`], until it is told `Bye`; one of an older version does so of a STOPPED
//! launch only.
//!
//! From version 6 on, the daemon may meter the host (`Meter`): where firmware is one for the whole machine, it decides who goes when. And contents may come from a stored
//! image, whose descriptor comes with the [`Stage`]: the host checks its pieces against the digests that come with it.
//!
//! What calls took in the host comes with their answers ([`Spent`]), since somewhere in version 6: a daemon asks for nothing, and an older one reads over it.
//!
//! A daemon that comes back greets the host; `Welcome` gives it the record that the launch was created with, and how the launch is. It
//! then brings a staging memory of its own (`Staging`), for its own requests: those of its predecessor that still wait keep theirs.
//! A host that no daemon speaks to for as long as its lease ends itself.
//!
//! Messages are protobuf, so that fields can be added; a change that an older peer would misread raises [`VERSION`], and the host goes on
//! accepting [`OLDEST_VERSION`].
//!
//! **Invariant:** nothing that a peer sends is trusted: every number is converted by a function that can refuse it.

mod commands;
mod context;
mod convert;
mod convert_reports;
mod convert_runs;
mod guest;
mod replies;
mod settings;
mod spent;

pub use commands::*;
pub use context::*;
pub use convert::{BadMessage, page_type_from_number, page_type_number, request_id};
pub use guest::*;
pub use replies::*;
pub use settings::*;
pub use spent::Spent;

/// The version that this build speaks.
pub const VERSION: u32 = 6;

/// The oldest version that this build still accepts. A host of version 1 could not be adopted: it kept no record of its daemon's.
pub const OLDEST_VERSION: u32 = 2;

/// Largest number of runs in one [`RunsPage`]; with at most [`MAX_PAGE_HASHES`] hashes it fits a frame.
pub const MAX_PAGE_RUNS: usize = 512;

/// Largest number of hashes in one [`RunsPage`].
pub const MAX_PAGE_HASHES: usize = 1024;

/// Input that may be sent to a guest and not yet be taken by it, in bytes.
pub const CONSOLE_INPUT: usize = 4096;

/// The newest output of a guest that is kept, in bytes.
pub const CONSOLE_BUFFER: usize = 64 * 1024;

/// Largest number of output bytes in one [`Console`].
pub const MAX_CONSOLE_OUTPUT: usize = 16 * 1024;

/// vCPUs of one launch.
pub const MAX_VCPUS: u32 = 64;

/// Largest number of answers in one [`Farewell`].
pub const MAX_FAREWELL: usize = 64;

/// Largest number of findings that a [`VerifyReport`] carries.
pub const MAX_FINDINGS: usize = 100;
