//! The daemon's own HTTP/2 server for gRPC. tonic's is not used because it hides what this daemon has to decide itself: the
//! windows and the identity of each connection, and the reason of every error that the framework makes.
//!
//! ```text
//!  listen ─▶ unix ─▶ accept ─▶ connection ─▶ call ─▶ Routes (tonic services)
//!         └▶ tls ─┘    cap,      HTTP/2,      ├ gate          whether the policy lets its caller do this, now and while it goes on
//!                    half_open   peer,        ├ framing       well-formed, bounded, one message where one is meant
//!                                windows      ├ metered       within the receive budget; a peer that stalls is not waited for
//!                                             ├ panics        a defect ends one call, not the connection
//!                                             ├ deadline      grpc-timeout, also for a response that has begun
//!                                             ├ frame_errors  gives the framework's errors a reason
//!                                             └ ongoing       ends a call whose answers nobody takes
//! ```
//!
//! What all peers together may have under way is bounded by one receive budget: `shares` divides it, `budget` hands it out to
//! connections (their windows), to calls, and to messages while they are gathered (`held`).
//!
//! **Invariant:** nothing in here knows a launch; no call is answered without passing all stations.

mod accept;
mod bound;
mod budget;
mod call;
mod calm;
mod connection;
mod deadline;
mod frame_errors;
mod frames;
mod framing;
mod gate;
mod given;
mod half_open;
mod hand;
mod health;
mod held;
mod limits;
mod listen;
mod load;
mod local;
mod metered;
mod methods;
pub mod notify;
mod ongoing;
pub mod pages;
mod panics;
mod peer;
mod permits;
mod preface;
mod record;
mod server;
mod shares;
mod stall;
mod tally;
#[cfg(test)]
mod tests;
mod tls;
mod unix;

pub use bound::{BindError, Reach};
pub use health::HealthServer;
pub use limits::{Limits, MAX_HEADER_LIST_BYTES, MAX_MESSAGE_BYTES, RECEIVE_BUDGET_BYTES, Windows};
pub use listen::{Listen, ListenError, MAX_SOCKET_PATH_BYTES};
pub use load::Load;
pub use ongoing::{deadline, message_consumed};
pub use peer::PeerInfo;
pub use server::Server;
pub use shares::{Shares, TooSmall};
pub use tls::{ClientCertificate, Fault, IdentityKind, NotAfter, Tls, TlsError, TlsFiles};
pub use unix::{Access, Lock, UnixError, remove_stale};
