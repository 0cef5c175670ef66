//! The real binaries over the real socket: what is left of the promises beside the life of a launch, for which see the suite `conformance`.
//!
//! ```text
//! on purpose wrong   bad_scripts  faults  limits
//! around it          node  services  listen  logs
//! its end            restart  shutdown
//! ```
//!
//! **Invariant:** nothing here knows how the product is made; what is asserted is in the proto comments or in the commands' documentation.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]

mod bad_scripts;
mod faults;
mod limits;
mod listen;
mod logs;
mod node;
mod restart;
mod services;
mod shutdown;
