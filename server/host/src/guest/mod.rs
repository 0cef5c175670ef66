//! Running the guest that was staged.
//!
//! ```text
//!  Platform::start ──▶ guest thread ──spawns, kicks, joins──▶ vCPU threads ──port exits──▶ Devices ──▶ Console
//!                          ▲   └──when all have left, and the VM is gone──▶ GuestIo::ended
//!                    Guest::stop
//! ```
//!
//! The built-in guest has memory, a serial port, a debug port, isa-debug-exit, and the ports by which a PC is turned off. It has no interrupt
//! controller, so a vCPU that halts has halted for good.
//!
//! **Invariant:** what ended a guest is told once, when none of its vCPUs runs and its memory is given back; and no byte of its memory is told.

mod crew;
mod devices;
mod ending;
mod io;
mod stop;
mod vcpu;

pub(crate) use crew::{Crew, start};
pub use io::{Guest, GuestIo};
pub use stop::{GuestStop, StopReason};

/// Where a guest writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsolePort {
    /// The serial port at 0x3f8.
    Serial,
    /// The debug port 0xe9.
    Debug,
}
