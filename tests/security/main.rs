//! Who gets in, what they may do, what leaves, and what each process can do if it is taken over: against the real binaries.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "tests: a panic is a failing assertion")]

mod memory;
mod memory_image;
mod memory_refused;
mod memory_staged;
