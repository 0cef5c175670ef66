//! Stored images, through the public API and the real binaries: what is refused, what outlives a crash, a full disk and rot, and what ends up in a guest.
//!
//! `STAGEPAGES_ROUNDS` sets how often a write is cut off by a crash, 500 being the full measure.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]

mod bad_input;
mod crash;
mod desk;
mod full_disk;
mod rotten;
mod slices;
mod writers;
