//! The cases that any platform can have.
//!
//! **Invariant:** what they run on is chosen by whoever includes them.
mod drain;
mod logs;
mod queue;
mod script;

use super::subjects;
