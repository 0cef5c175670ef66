//! The real binaries over the real socket: every promise of `launch.proto` and `node.proto`, every row of the table of errors, every bad input.
//!
//! ```text
//! life of a launch   create  list  stage  page_types  short_counts  ledger  verify  finish  end
//! what goes wrong    bad_create  bad_scripts  bad_extents  bad_names  bad_wire  faults  limits
//! what interrupts    behind  cancelled  killed  aborted_calls  host_death  host_hung  restart  shutdown
//! around it          node  services  listen  logs
//! ```
//!
//! Tests run on `sim` and, where this machine has it, on `kvm`; each has a daemon of its own, must leave it serving others, and ends it cleanly.
//!
//! **Invariant:** nothing here knows how the product is made; what is asserted is in the proto comments or in the commands' documentation.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]

mod aborted_calls;
mod bad_create;
mod bad_extents;
mod bad_names;
mod bad_scripts;
mod bad_wire;
mod behind;
mod cancelled;
mod create;
mod end;
mod faults;
mod finish;
mod host_death;
mod host_hung;
mod killed;
mod ledger;
mod limits;
mod list;
mod listen;
mod logs;
mod node;
mod page_types;
mod restart;
mod services;
mod short_counts;
mod shutdown;
mod stage;
mod verify;
