//! The gRPC services: they check requests, convert types, and nothing else.
//!
//! **Invariant:** no handler changes anything before its whole request was checked.

mod ask;
mod choose;
mod console;
pub mod convert;
mod create;
mod decode;
mod device;
mod finish;
#[doc(hidden)]
pub mod fuzzing;
mod guest;
mod image_error;
mod image_service;
mod image_write;
mod launch_service;
mod ledger;
mod list;
mod node_service;
pub mod reason;
mod result;
pub(crate) mod settings;
mod stage;
pub mod status;
mod stream;
mod vcpu;
mod watch;

pub use image_service::ImageApi;
pub use launch_service::LaunchApi;
pub use node_service::NodeApi;
