//! The cases.
//!
//! **Invariant:** what they run on is chosen by whoever includes them.

mod images;
mod staged;

use super::{stagectl, subjects};
use images::images;
