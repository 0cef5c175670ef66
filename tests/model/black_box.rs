//! What else is promised of a platform, on the model: the cases of `tests/black_box`.
//!
//! **Invariant:** adds nothing but what they run on.
use std::panic::Location;

use stagepages_tests::Subjects;

use crate::subjects::{self, Choice};

#[path = "../black_box/each/mod.rs"]
mod each;

#[track_caller]
fn subjects() -> Subjects {
    subjects::subjects(Choice::All, Location::caller())
}
