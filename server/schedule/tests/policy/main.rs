//! The policy on simulated time: what it promises, held against clients, hosts and one serial firmware that a test makes up.
//!
//! **Invariant:** no case waits, and none depends on the machine's speed.

mod adaptation;
mod bubbles;
mod eta;
mod histories;
mod order;
mod refusal;
mod share;
mod simulator;
mod stall;

use std::time::Duration;

pub(crate) const MILLI: Duration = Duration::from_millis(1);
pub(crate) const MICRO: Duration = Duration::from_micros(1);
