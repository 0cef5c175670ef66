//! Guests whose every byte came over StagePages, run on the real device: what they compute, how they stop, and what is said to and by them.
//!
//! There is no firmware and no kernel in them: each is a listing of a few instructions, with page tables of its own where it wants some. What it
//! prints is compared with what the test computes from the same bytes.
//!
//! **Invariant:** a guest has no other memory than its launch's regions, and runs fewer than 50,000 instructions, unless it is to be stopped.
#![forbid(unsafe_code)]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]

mod bad_states;
mod console;
mod hash;
mod life;
mod listing;
mod planned;
mod program;
mod stagectl;
mod stops;
mod survival;
mod terminal;
mod vcpus;
