//! What each fuzz target does with its bytes, and what must hold then.
//!
//! ```text
//! bytes ─┬─ all but the last 8 ─▶ Input ──┐
//!        └─ the last 8 ─▶ Options ────────┴─ loader ─▶ ImageError: in the file, with words; or Plan: sound, small, with a digest
//! ```
//!
//! Requests, configuration files, policies and the frames of the three processes go through the functions that `stagepagesd` calls (`peers`, `requests`).
//!
//! Panics, overflows and assertions end a run, as do the limits of time and memory that `run` sets.
//!
//! **Invariant:** no file but those in `files`, no clock or random number has a part in it, so that an input fails always or never.
#![forbid(unsafe_code)]

mod identity;
mod images;
mod peers;
mod requests;
mod sequences;
mod sound;
mod wishes;

pub use identity::id_block;
pub use images::{bzimage, elf, igvm, manifest, ovmf};
pub use peers::{daemon_to_host, daemon_to_supervisor, host_to_daemon, supervisor_to_daemon};
pub use requests::{config, policy, request};
pub use sequences::diff;
