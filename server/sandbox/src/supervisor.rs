//! The supervisor's own confinement, which is little: see the crate's table.
//!
//! **Invariant:** nothing that a child inherits but the limit on cores.

use crate::{SandboxError, limits, privileges};

/// Leaves no core, and lets nobody of its user look into it. Both hold again after an upgrade only if this is called again: exec resets the one.
///
/// # Errors
/// The kernel's; none is known.
pub fn confine() -> Result<(), SandboxError> {
    limits::no_core()?;
    privileges::not_dumpable()
}
