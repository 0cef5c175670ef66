//! The daemon on a node: what an orchestrator, kubelet and systemd see of it.
//!
//! ```text
//! devices   tenants  bounds  directories: a socket for each, whose peers are that device
//! probes    health: what kubelet asks
//! systemd   activation: sockets that somebody else made
//! ```
//!
//! Other users' connections are made by threads of this process, so the suite runs as root.
//!
//! **Invariant:** no test learns anything from the time that passed.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]

mod activation;
mod bounds;
mod directories;
mod health;
mod place;
mod tenants;
