//! The daemon: takes calls, keeps the registry of launches, and passes extents on to launch hosts.
//!
//! It never opens /dev/kvm and holds no guest memory: what must not be lost is in the hosts, which outlive it.
//!
//! **Invariant:** a call whose extent was handed to a host is never taken back, whatever becomes of the call.

mod adopt;
pub mod aio;
mod confine;
mod console;
mod create;
mod devices;
mod ended_ledger;
mod evict;
mod files;
mod firmware;
mod given;
mod greeting;
mod guest;
pub mod host_link;
mod host_watch;
mod images;
mod inherit;
mod launch;
mod lease;
mod node;
mod own;
mod pulse;
mod record;
mod records;
mod registry;
mod run;
mod staging;
mod state_dir;
mod status;
pub mod supervisor_link;
mod versions;
mod wires;

pub use adopt::{Found, NotAdopted};
pub use console::{Console, Granted, Owed, Piece, Tape};
pub use create::{Blueprint, Nursery};
pub use devices::Served;
pub use ended_ledger::{Fate, Kept, Ledgers, NotKept};
pub use firmware::{Asked, FirmwareQueue, FirmwareQueues, QueueView, Seat};
pub use host_link::{Answer, HostLink, LinkLost, Posted, Told};
pub use images::on_disk;
pub use launch::{Identity, Launch, Origin, Parts};
pub use lease::{DEFAULT_LEASE, Lease, MAX_LEASE, MIN_LEASE};
pub use node::Node;
pub use record::Record;
pub use records::{Page, Records, Withstands, Writing};
pub use registry::{
    Listing, Made, OnTheWay, Registry, RegistryLimits, Reservation, Taken, Unanswered,
};
pub use run::run;
pub use staging::{
    Held, MAX_DATA_BYTES, MAX_SLICE_BYTES, Slot, Staging, StoredImage, check_locking,
};
pub use state_dir::StateDir;
pub use status::{Ending, Status};
