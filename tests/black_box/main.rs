//! The real binaries over the real socket: what is left of the promises beside the life of a launch, for which see the suite `conformance`.
//!
//! ```text
//! on purpose wrong   bad_scripts  faults  limits
//! around it          node  services  listen
//! its end            restart  shutdown
//! on each platform   each: logs  queue  script  drain
//! ```
//!
//! The suite `model` runs the last of these on models of kernels, too.
//!
//! **Invariant:** nothing here knows how the product is made; what is asserted is in the proto comments or in the commands' documentation.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]

mod bad_scripts;
mod each;
mod faults;
mod limits;
mod listen;
mod node;
mod restart;
mod services;
mod shutdown;

use stagepages_tests::Subjects;

fn subjects() -> Subjects {
    Subjects::of_this_machine()
}
