//! The life of a launch, on the model: the cases of `tests/conformance`.
//!
//! **Invariant:** adds nothing but what they run on.
use stagepages_tests::Bench;

use crate::subjects::subjects;

#[path = "../conformance/cases.rs"]
mod cases;

fn on_every_platform(test: impl AsyncFn(&Bench)) -> impl Future<Output = ()> {
    subjects().run(test)
}
