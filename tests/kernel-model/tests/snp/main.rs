//! The model's SNP, called in memory: every rule and every fault, under each kernel.

#![expect(
    clippy::unwrap_used,
    reason = "a rig that is not as it should be is a failed test"
)]

mod faults;
mod launch;
mod machine;
mod memory;
mod process;
mod rig;
mod strict;
