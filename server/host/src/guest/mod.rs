//! Running the guest that was staged.

mod stop;

pub use stop::{GuestStop, StopReason};

/// Where a guest writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsolePort {
    /// The serial port at 0x3f8.
    Serial,
    /// The debug port 0xe9.
    Debug,
}
