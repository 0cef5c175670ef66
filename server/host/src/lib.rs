//! The launch host as a library. (Crate documentation follows.)
#![forbid(unsafe_code)]

pub mod console;
pub mod digest;
pub mod guest;
pub mod launch;
pub mod ledger;
pub mod platform;
pub mod protocol;
pub mod serve;
pub mod vcpu;
pub mod wire;
