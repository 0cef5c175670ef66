//! Hostile and clumsy clients against the real daemon: clients that stall, vanish, flood, lie, crowd, and never read.
//!
//! ```text
//! attacks     stalls  unread  lengths  headers  floods  crowd  neighbours
//! with        slowly (keeps the rules of HTTP/2)  the harness's wire (keeps none)
//! judged by   the harness's Vital (memory and descriptors of the daemon)
//! ```
//!
//! Floods that TLS is to withstand as well are in the suite `security`.
//!
//! **Invariant:** each test ends with the same questions: is a newcomer served, is the ledger exact, did every descriptor come back?
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]

mod crowd;
mod floods;
mod headers;
mod lengths;
mod neighbours;
mod slowly;
mod stalls;
mod unread;
