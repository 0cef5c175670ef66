//! The race for overlapping extents, on the model: the cases of `tests/race`.
//!
//! **Invariant:** adds nothing but what they run on.
use std::panic::Location;

use stagepages_tests::Subjects;

use crate::subjects::{self, Choice};

#[path = "../race/cases.rs"]
mod cases;

#[track_caller]
fn subjects() -> Subjects {
    subjects::subjects(Choice::All, Location::caller())
}
