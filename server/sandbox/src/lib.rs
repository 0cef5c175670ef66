//! What each process of `stagepagesd` gives up, once it has what it needs.
//!
//! | process | users and privileges | files | network | calls |
//! |---|---|---|---|---|
//! | supervisor | its own user and capabilities: it starts programs that may need them | all | none is used | all |
//! | daemon | its own user, no capabilities but for ports below 1024 | its directories; what it reads again, read-only | binds its ports and then listens on no more, connects to its collector's port if it has one | a list; others are EPERM, the worst kill |
//! | launch host, until its launch is made | `host_user`; capabilities to open devices and to lock memory | the devices, and what preflight reads | none | all |
//! | launch host, from then on | `host_user`, no capabilities | none | none | a list, ioctl numbers included; any other kills it |
//!
//! All have `no_new_privs` except the supervisor, whose children would have it too: a program of `[host.<platform>]` may have file capabilities.
//! None is dumpable, and none leaves a core.
//!
//! The supervisor has no filter of calls. Whatever it had, its children would inherit, and the daemon needs sockets and the hosts devices. It parses
//! nothing but the daemon's private messages, bounded and typed, and opens no socket but Unix ones; that, not the kernel, keeps it off the network.
//!
//! Landlock binds the calling thread and those that it starts afterwards (`landlock_restrict_self()`, security/landlock/syscalls.c), so each
//! process calls this crate while it has one thread, or in each thread that can still do something. Filters are put on all threads at once (TSYNC).
//!
//! What the kernel lacks is left out, and named by [`missing`] with what is weaker for it; whoever cannot accept that asks for [`Mode::Require`].
//!
//! **Invariant:** nothing here ever gives a process more than it had.
#![forbid(unsafe_code)]

mod calls;
pub mod daemon;
mod error;
mod fence;
pub mod host;
mod limits;
mod missing;
mod mode;
mod privileges;
pub mod supervisor;
mod user;

pub use error::SandboxError;
pub use fence::{Access, Place};
pub use missing::{Missing, missing};
pub use mode::Mode;
pub use user::{BadHostUser, HostUser};
