//! Who gets in, what they may do, what leaves, and what each process can do if it is taken over: against the real binaries.
//!
//! | module        | one idea                                                       |
//! |---------------|----------------------------------------------------------------|
//! | `table`       | every RPC, as every role of either tenant                      |
//! | `calls`       | every RPC, once                                                |
//! | `revoked`     | the policy changes while callers are connected                 |
//! | `quotas`      | what tenants may take                                          |
//! | `images_apart` | stored images of two tenants                                  |
//! | `images_quota` | what of them goes where a tenant has too much                 |
//! | `images_desk`  | ImageService, as one person sees it                           |
//! | `peers`       | who is at a Unix socket                                        |
//! | `policies`    | policies that are wrong                                        |
//! | `town`        | a daemon with two tenants                                      |
//! | `audit_…`     | the audit log: what it tells, and what is done to it           |
//! | `memory…`     | where pages and the daemon's key are, and for how long         |
//! | `floods`      | frames without end: rapid resets, continuations, settings, pings |
//! | `giants`      | metadata without measure, and what inflates                   |
//! | `foreign_state` | what is not the daemon's in its directories                 |
//! | `tls_refused` | who has no business on a TCP port                              |
//! | `tls_crowd`   | connections that never begin to speak                          |
//! | `tls_expiry`  | certificates that expire while they are in use                 |
//! | `tls_rotation` | certificates, keys and CAs that are replaced                  |
//! | `tls_stagectl` | `stagectl` over TCP                                           |
//! | `sandbox_…`   | what each process has left, and what comes of trying more      |
//!
//! `STAGEPAGES_ROUNDS` sets how often a daemon is killed over its audit log, 200 being the full measure.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is a failing assertion"
)]

mod audit_crash;
mod audit_disk;
mod audit_files;
mod audit_life;
mod audit_log;
mod audit_refusals;
mod audit_tamper;
mod calls;
mod floods;
mod foreign_state;
mod giants;
mod images_apart;
mod images_desk;
mod images_quota;
mod memory;
mod memory_image;
mod memory_key;
mod memory_refused;
mod memory_staged;
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
mod tls_crowd;
mod tls_expiry;
mod tls_refused;
mod tls_rotation;
mod tls_stagectl;
mod town;
