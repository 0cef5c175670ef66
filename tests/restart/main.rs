//! Survival: what is killed at any moment takes nothing with it but what lived in it, and leaves nothing behind.
//!
//! ```text
//! chance     campaign, on several places: kill -9 of daemon, host, client, all but hosts, and all, under load, also as PID 1 of a pid namespace
//! rules      answers  creation  ends  directories  ended_ledgers  leases  hung  signals  unsettled
//! strangers  impostors: whatever else listens where a host should  fence: daemons of another epoch, hosts of another version
//! history    old_host: a host program from before the latest version of the private protocol
//! ```
//!
//! Tests run on `sim` and, where this machine has it, on `kvm`. `STAGEPAGES_ROUNDS` sets the rounds of the campaign, 200 being the full measure, and
//! `STAGEPAGES_SEED` what they draw from.
//!
//! **Invariant:** no test learns anything from the time that passed; each ends with a tree of which nothing is left.
#![forbid(unsafe_code)]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]
#![expect(
    clippy::print_stdout,
    reason = "libtest shows the output of failing tests: the round that failed"
)]

mod answers;
mod campaign;
mod creation;
mod directories;
mod ended_ledgers;
mod ends;
mod fence;
mod hung;
mod impostors;
mod leases;
mod old_host;
mod places;
mod rig;
mod signals;
mod strangers;
mod unsettled;
