//! The life of a launch, on the model: the cases of `tests/conformance`.
//!
//! **Invariant:** adds nothing but what they run on.
use std::panic::Location;

use stagepages_tests::{Bench, Subjects};

use crate::subjects::{self, Choice};

#[path = "../conformance/cases.rs"]
mod cases;

#[track_caller]
fn subjects() -> Subjects {
    subjects::subjects(Choice::All, Location::caller())
}

#[track_caller]
fn on_every_platform(test: impl AsyncFn(&Bench)) -> impl Future<Output = ()> {
    subjects().run(test)
}
