//! `stagectl` as an operator and a script use it: every command against a real daemon, its JSON, its hints and its exit status.
//!
//! **Invariant:** nothing here reads human output but for the words that a person needs.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]

mod confidential;
mod diff;
mod failures;
mod id_block;
mod image;
mod images;
mod launches;
mod pictures;
mod staging;

use stagepages_tests::stagectl;
