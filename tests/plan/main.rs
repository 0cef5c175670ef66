//! Images end in the digest that was planned: every format that `stagectl` knows, planned without a daemon, staged into a launch, and held against what the launch
//! host measured and against the ledger.
//!
//! The suite `model` runs the same cases on `sev-snp` and `tdx`, where firmware's model has a digest of its own to agree with.
//!
//! **Invariant:** images are made here or installed by the system; none is made by the product.
#![forbid(unsafe_code)]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]

// By path, so that its modules are found beside it, by `model` too.
#[path = "cases.rs"]
mod cases;
mod registers;

use stagepages_tests::{Subjects, stagectl};

fn subjects() -> Subjects {
    Subjects::of_this_machine()
}
