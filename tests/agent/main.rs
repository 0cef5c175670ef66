//! The real node agent, beside the real daemon, against stand-ins for what a cluster has: kubelet and the API server.
//!
//! ```text
//! kubelet   v1beta1 and pod resources v1 over sockets: devices, their health, allocation, restarts
//! api       the HTTP API of Kubernetes: ConfidentialLaunch and LaunchImage
//! probe     the agent's health, asked for
//! process   the agent
//! ```
//!
//! **Invariant:** the agent is its binary, the daemon too; what stands in for Kubernetes speaks its protocols over real sockets.
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

mod api;
mod kubelet;
mod probe;
mod process;
