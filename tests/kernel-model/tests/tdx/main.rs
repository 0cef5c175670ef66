//! The model's TDX, called in memory: every rule and every fault, under each kernel that has it.

#![expect(
    clippy::unwrap_used,
    reason = "a rig that is not as it should be is a failed test"
)]

mod causes;
mod faults;
mod init;
mod launch;
#[path = "../snp/process.rs"]
mod process;
mod region;
mod rig;
mod strict;
mod vcpus;
