//! Exactly once, however it fails: no count is ever wrong and no count is ever lost, through the real binaries.
//!
//! Each of [`cases`] runs on what this machine has; those in [`scripted`] need a platform that fails by script. `STAGEPAGES_ROUNDS` sets the rounds of
//! what is left to chance, 500 being the full measure, and `STAGEPAGES_IMAGE_MIB` the image of each, 64 in full. The suite `model` runs the same
//! cases on models of kernels that have what this machine lacks.
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

// By path, so that its modules are found beside it, by `model` too.
#[path = "cases.rs"]
mod cases;
mod scripted;

use stagepages_tests::{Bench, Subjects};

/// Rounds of each kind on each platform.
const ROUNDS: u64 = 8;

fn subjects() -> Subjects {
    Subjects::of_this_machine()
}

async fn on_every_platform(test: impl AsyncFn(&Bench)) {
    subjects().run(test).await;
}
