//! The cases that any platform can have, or all but those that a row of [`EXCEPTIONS`](stagepages_tests::EXCEPTIONS) names.
//!
//! ```text
//! life of a launch   create  list  stage  page_types  vcpus  short_counts  ledger  ended_ledger  verify  finish  start  end
//! what goes wrong    bad_create  bad_extents  bad_names  bad_wire
//! what interrupts    behind  cancelled  killed  aborted_calls  host_death  host_hung
//! ```
//!
//! **Invariant:** what they run on is chosen by whoever includes them.
mod aborted_calls;
mod bad_create;
mod bad_extents;
mod bad_names;
mod bad_wire;
mod behind;
mod cancelled;
mod create;
mod end;
mod ended_ledger;
mod finish;
mod host_death;
mod host_hung;
mod killed;
mod ledger;
mod list;
mod page_types;
mod short_counts;
mod stage;
mod start;
mod vcpus;
mod verify;

use super::{on_every_platform, subjects};
