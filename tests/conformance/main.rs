//! The life of a launch, the same on every platform and with every program that hosts one: every promise of `launch.proto`, every bad input.
//!
//! Each of [`cases`] runs on each of [`subjects`]; each run has a daemon of its own, must leave it serving others, and ends it cleanly. What this
//! machine lacks is named in one visible line. With `--features hw` its confidential platform is one of them, and then it is a failure that
//! something is missing for it. The suite `model` runs the same cases on models of kernels that have what this machine lacks.
//!
//! **Invariant:** nothing here knows how the product is made, or who hosts; what is asserted is in the proto comments.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]

mod another_host;
// By path, so that its modules are found beside it, by `model` too.
#[path = "cases.rs"]
mod cases;
mod subjects;
mod tampered;

use subjects::{on_every_platform, subjects};
