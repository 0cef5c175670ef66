//! The policy on simulated time: what it promises, held against clients, hosts and one serial firmware that a test makes up.
//!
//! **Invariant:** no case waits, and none depends on the machine's speed.

#[cfg(test)]
mod adaptation;
#[cfg(test)]
mod bubbles;
#[cfg(test)]
mod eta;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod order;
#[cfg(test)]
mod refusal;
#[cfg(test)]
mod share;
#[cfg(test)]
mod simulator;
#[cfg(test)]
mod stall;

use std::time::Duration;

pub(crate) const MILLI: Duration = Duration::from_millis(1);
pub(crate) const MICRO: Duration = Duration::from_micros(1);
