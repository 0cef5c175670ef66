//! Whose pages a machine's serial firmware installs next: a pure policy.
//!
//! SNP's firmware installs one page at a time for the whole machine, about 1 ms each. One daemon sees all launches of the machine, and each
//! launch has a host process that installs pages up to a *grant*: "your ledger may reach N pages". The daemon tells a [`Scheduler`] what
//! happens and sends out the grants that it decides; a grant is absolute and only ever rises, so a lost or repeated one does no harm.
//!
//! ```text
//!   join, ask, answered, progress, leave ──▶ Scheduler ──▶ decide: Grant { key, up_to_pages }
//!                                               │
//!                                               └────────▶ place, queue, waiting, page_time, wake_at
//! ```
//!
//! # Why one after the other
//!
//! Three launches of equal size, at once. The firmware is done with all of them at the same time whatever the order; they are not.
//!
//! ```text
//!   in turns of a page         one after the other
//!   A ▌ ▌ ▌ ▌ ▌ ▌ ▌ ▌ ●        A ▌▌▌▌▌▌▌▌●
//!   B  ▌ ▌ ▌ ▌ ▌ ▌ ▌ ▌ ●       B         ▌▌▌▌▌▌▌▌●
//!   C   ▌ ▌ ▌ ▌ ▌ ▌ ▌ ▌ ●      C                 ▌▌▌▌▌▌▌▌●
//!   mean: nearly the whole     mean: (n + 1) / 2n of the whole, 0.53 of it for sixteen, and nobody is later than before
//! ```
//!
//! # The policy
//!
//! ```text
//!   High    a ── b ── c          7 of 8 quanta, while a lower class waits
//!   Normal  d ── e               7 of 8 of what is left
//!   Low     f ── g ── h          the rest
//!           └─ order of arrival, each to completion
//! ```
//!
//! 1. **Order.** Within a [`Class`] the launch that asked first has the *turn* until it needs the firmware no more. One that has no data ready
//!    keeps the turn for [`Config::patience`], since a client that sends its next call when the last is answered sends it at once; then it gives
//!    way. With data again, it goes before those that arrived after it.
//! 2. **Classes.** The higher class goes first, but of the time during which a lower one waits, one quantum in [`Config::low_share`] goes to
//!    the lower. `shares.rs` has the bound and its proof.
//! 3. **Quanta.** A grant covers at most one [`Config::quantum`] of firmware time, so that is how long a decision taken binds the machine.
//!    While the turn stays, the grant is topped up when half of it is used: the firmware never waits for a message. When the turn passes on,
//!    what was granted is used up first.
//! 4. **Page time.** Measured while the firmware works, and what quanta, expected times and refusals are computed from.
//! 5. **Distrust.** A launch that had something to install and installed nothing for [`Config::stall`] loses the turn until it does. A
//!    launch whose calls install nothing gets no patience. A larger grant than needed does no harm: the firmware itself is serial.
//!    What a call that fell short left of its grant stays granted, so its launch may later install that much, a quantum at most, out of turn.
//!
//! # How it is driven
//!
//! Time is a [`Duration`] since any origin, handed in with each event; time that goes backwards counts as standing still. After each event, or
//! each batch of them, [`Scheduler::decide`] is called until it has nothing more to say, and once more at [`Scheduler::wake_at`] if nothing
//! happens before.
//!
//! [`Duration`]: std::time::Duration
//!
//! Events cost O(log n) of the launches known, `decide` too; views and refusals are O(n).
//!
//! **Invariant:** nothing here reads a clock, blocks, or does I/O; no grant names a launch that left or has no call open, none is lower than
//! the one before, and none is for more pages than were asked for.
#![forbid(unsafe_code)]

mod class;
mod config;
mod launch;
mod page_time;
mod queue;
mod scheduler;
mod shares;

pub use class::Class;
pub use config::{Config, ConfigError};
pub use scheduler::{Grant, MAX_GRANT_PAGES, Place, Refused, Scheduler, Waiting};
