//! Lines for whoever runs the suites, also when every test passes.
//!
//! **Invariant:** goes past libtest's capture, so it is for what a reader of the result has to know, and for nothing else.
use std::io::Write as _;

/// Writes one line to standard error.
pub fn say(line: &str) {
    // Whole and at once, so that lines of parallel tests do not mix. Nobody may be listening.
    std::io::stderr()
        .write_all(format!("harness: {line}\n").as_bytes())
        .ok();
}
