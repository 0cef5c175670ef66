//! The gRPC services: they check requests, convert types, and nothing else.
//!
//! **Invariant:** no handler changes anything before its whole request was checked.

pub mod convert;
mod create;
mod decode;
mod launch_service;
mod ledger;
mod node_service;
pub mod reason;
mod stage;
pub mod status;

pub use launch_service::LaunchApi;
pub use node_service::NodeApi;
