//! Who gets in, what they may do, what leaves, and what each process can do if it is taken over: against the real binaries.
//!
//! | module        | one idea                                                       |
//! |---------------|----------------------------------------------------------------|
//! | `table`       | every RPC, as every role of either tenant                      |
//! | `calls`       | every RPC, once                                                |
//! | `revoked`     | the policy changes while callers are connected                 |
//! | `quotas`      | what tenants may take                                          |
//! | `peers`       | who is at a Unix socket                                        |
//! | `policies`    | policies that are wrong                                        |
//! | `town`        | a daemon with two tenants                                      |
//! | `sandbox_…`   | what each process has left, and what comes of trying more      |
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]

mod calls;
mod peers;
mod policies;
mod quotas;
mod revoked;
mod sandbox_daemon;
mod sandbox_descriptors;
mod sandbox_host;
mod sandbox_missing;
mod sandbox_state;
mod table;
mod town;
