//! Following one call: by its request id through the logs of daemon and launch host, and by its trace to a collector.
//!
//! ```text
//! request_ids  whose id it is, and who is told it
//! logs         each line of a call, as text and as JSON; also when its caller has gone; floods
//! ```
//!
//! **Invariant:** no test learns anything from the time that passed.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]

mod logs;
mod request_ids;
mod rig;
