//! The daemon's own HTTP/2 server for gRPC. tonic's is not used because it hides what this daemon has to decide itself: the
//! windows and the identity of each connection, and the reason of every error that the framework makes.
//!
//! ```text
//!  listen ─▶ unix ─▶ accept ─▶ connection ─▶ call ─▶ Routes (tonic services)
//!                      cap       HTTP/2,      │
//!                                peer         ├ framing       well-formed, bounded, one message where one is meant
//!                                             ├ panics        a defect ends one call, not the connection
//!                                             ├ deadline      grpc-timeout, also for a response that has begun
//!                                             └ frame_errors  gives the framework's errors a reason
//! ```
//!
//! **Invariant:** nothing in here knows a launch; no call is answered without passing all four stations.

mod accept;
mod call;
mod connection;
mod deadline;
mod frame_errors;
mod framing;
mod limits;
mod listen;
mod methods;
pub mod notify;
mod panics;
mod peer;
mod preface;
mod server;
#[cfg(test)]
mod tests;
mod unix;

pub use limits::{Limits, MAX_HEADER_LIST_BYTES, MAX_MESSAGE_BYTES, Windows};
pub use listen::{Listen, ListenError, MAX_SOCKET_PATH_BYTES};
pub use peer::PeerInfo;
pub use server::{BindError, Server};
pub use unix::UnixError;
