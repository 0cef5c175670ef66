//! The queue for firmware that is one for the whole machine: the policy's own tests are `stagepages-schedule`'s, on simulated time; here is the wiring, on real
//! processes and the simulated firmware.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]

mod bounds;
mod crew;
mod gives_way;
mod order;
mod outlives;
