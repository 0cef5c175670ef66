//! What caused an error: on its own it often says no more than that something did not work.
//!
//! **Invariant:** each cause is said once.

use std::error::Error;

/// What an error was caused by, for `successors`.
pub(crate) fn cause<'a>(error: &&'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    (**error).source()
}

/// An error and what caused it, on one line. Causes that say the same again are left out: many errors say what their source says.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    for said in std::iter::successors(error.source(), cause).map(ToString::to_string) {
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
    }
    text
}
