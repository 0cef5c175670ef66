//! The cases that any platform can have.
//!
//! ```text
//! rules     stop_rule  streams  sequences  request_ids  results  late_retry  watch  leases
//!           flood: what a full queue must not break
//! chance    deadlines: calls whose deadline passes at random points
//!           rounds:    an image staged through a connection that is cut at random bytes, by clients that are killed
//! helpers   calls  talk
//! ```
//!
//! **Invariant:** what they run on is chosen by whoever includes them.
pub(crate) mod calls;
mod deadlines;
mod flood;
mod late_retry;
mod leases;
mod request_ids;
mod results;
mod rounds;
mod sequences;
mod stop_rule;
mod streams;
pub(crate) mod talk;
mod watch;

use super::{ROUNDS, on_every_platform};
