//! The race, on what this machine has. The suite `model` runs it on models of kernels that have what this machine lacks.
//!
//! **Invariant:** adds nothing to what [`cases`] asserts.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]

// By path, so that its modules are found beside it, by `model` too.
#[path = "cases.rs"]
mod cases;

use stagepages_tests::Subjects;

fn subjects() -> Subjects {
    Subjects::of_this_machine()
}
