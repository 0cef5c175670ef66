//! Exactly once, however it fails: no count is ever wrong and no count is ever lost, through the real binaries.
//!
//! ```text
//! rules     stop_rule  streams  sequences  request_ids  results  late_retry  watch  leases
//!           flood: what a full queue must not break
//! chance    deadlines: calls whose deadline passes at random points
//!           rounds:    an image staged through a connection that is cut at random bytes, by clients that are killed
//! helpers   calls  talk
//! ```
//!
//! Tests run on `sim` and, where this machine has it, on `kvm`. `STAGEPAGES_ROUNDS` sets the rounds of the second part, 500 being the full
//! measure, and `STAGEPAGES_IMAGE_MIB` the image of each, 64 in full.
//!
//! **Invariant:** what is asserted is in the proto comments; time decides when something is cut off, never whether a test passes.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]
#![expect(
    clippy::print_stdout,
    reason = "libtest shows the output of failing tests: the round that failed"
)]

mod calls;
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
mod talk;
mod watch;
