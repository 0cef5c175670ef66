//! The race for overlapping extents, on the model: the cases of `tests/race`.
//!
//! **Invariant:** adds nothing but what they run on.
use crate::subjects::subjects;

#[path = "../race/cases.rs"]
mod cases;
