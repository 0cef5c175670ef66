//! Exactly once, however it fails, on the model: the cases of `tests/exactly_once`.
//!
//! **Invariant:** adds nothing but what they run on.
use stagepages_tests::Bench;

use crate::subjects::subjects;

#[path = "../exactly_once/cases.rs"]
mod cases;

/// Rounds of each kind on each platform and profile, of which there are seven.
const ROUNDS: u64 = 3;

fn on_every_platform(test: impl AsyncFn(&Bench)) -> impl Future<Output = ()> {
    subjects().run(test)
}
