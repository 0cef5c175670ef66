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
//! | `tls_refused` | who has no business on a TCP port                              |
//! | `tls_crowd`   | connections that never begin to speak                          |
//! | `tls_expiry`  | certificates that expire while they are in use                 |
//! | `tls_rotation` | certificates, keys and CAs that are replaced                  |
//! | `tls_stagectl` | `stagectl` over TCP                                           |
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
mod table;
mod tls_crowd;
mod tls_expiry;
mod tls_refused;
mod tls_rotation;
mod tls_stagectl;
mod town;
