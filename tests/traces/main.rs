//! Following one call: by its request id through the logs of daemon and launch host, and by its trace to a collector.
//!
//! ```text
//! request_ids  whose id it is, and who is told it
//! logs         each line of a call, as text and as JSON; also when its caller has gone; floods
//! spans        what a collector gets, and of which calls; streams; calls that were dropped
//! trouble      collectors that are away, hang or refuse; the end of the daemon
//! client.py    a client in Python with OpenTelemetry of its own, in CI
//! ```
//!
//! **Invariant:** no test learns anything from the time that passed.
#![forbid(unsafe_code)]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]

mod collector;
mod logs;
mod request_ids;
mod rig;
mod spans;
mod trouble;
