//! What else is promised of a platform, on the model: the cases of `tests/black_box`.
//!
//! **Invariant:** adds nothing but what they run on.
use crate::subjects::subjects;

#[path = "../black_box/each/mod.rs"]
mod each;
