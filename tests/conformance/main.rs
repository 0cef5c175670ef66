//! The life of a launch, the same on every platform and with every program that hosts one: every promise of `launch.proto`, every bad input.
//!
//! ```text
//! life of a launch   create  list  stage  page_types  short_counts  ledger  verify  finish  end
//! what goes wrong    bad_create  bad_extents  bad_names  bad_wire
//! what interrupts    behind  cancelled  killed  aborted_calls  host_death  host_hung
//! ```
//!
//! Each case runs on each of [`subjects`]; each run has a daemon of its own, must leave it serving others, and ends it cleanly. What this machine
//! lacks is named in one visible line. Cases that a platform cannot have ask `bench.platform` where they differ.
//!
//! **Invariant:** nothing here knows how the product is made, or who hosts; what is asserted is in the proto comments.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]

mod aborted_calls;
mod bad_create;
mod bad_extents;
mod bad_names;
mod bad_wire;
mod behind;
mod cancelled;
mod create;
mod end;
mod finish;
mod host_death;
mod host_hung;
mod killed;
mod ledger;
mod list;
mod page_types;
mod short_counts;
mod stage;
mod subjects;
mod verify;

use subjects::on_every_platform;
