//! What a running guest and its launch host know of each other.

use std::{fmt, sync::Arc};

use super::GuestStop;
use crate::console::Console;

/// A guest that runs.
pub trait Guest: fmt::Debug + Send {
    /// Asks it to stop. Does not wait: [`GuestIo::ended`] tells when it has. Asking again, or too late, is harmless.
    fn stop(&self);
}

/// What a guest is given to speak to the outside.
pub struct GuestIo {
    /// Where it writes to and reads from.
    pub console: Arc<Console>,
    /// To be called when it has stopped, everything that it wrote is in the console, and the VM's memory is given back. May wait for those who
    /// listen to the console, for a bounded time.
    pub ended: Box<dyn FnOnce(GuestStop) + Send>,
}

impl fmt::Debug for GuestIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestIo").finish_non_exhaustive()
    }
}
