//! What the launch host is left with, as a policy for [`Confinement`](crate::sandbox::host::Confinement).
//!
//! **Invariant:** of the runtime directory, where all hosts are reached, a host has the simulated firmware's file alone.

use stagepages_kvm::ioctls;
use stagepages_sandbox::{
    Access, HostUser, Mode, Place,
    host::{Policy, places},
};

use super::{HostConfig, platforms::FIRMWARE};
use crate::platform::Firmware;

/// The policy of a host with the built-in platforms. A VMM with its own adds the files that it opens until its launch is made, and its ioctls.
///
/// The file of the simulated firmware is made here if it is not there, for where a file can be made, others can be too. A host that cannot make it
/// learns so when a launch asks for it.
#[must_use]
pub fn policy(config: &HostConfig, mode: Mode, user: Option<HostUser>) -> Policy {
    let mut places = places();
    let line = config.runtime_dir.join(FIRMWARE);
    if mode != Mode::Off
        && let Err(error) = Firmware::open(&line)
    {
        tracing::debug!(%error, "no simulated firmware here");
    }
    places.push(Place::new(line, Access::ReadWrite));
    Policy {
        mode,
        user,
        places,
        ioctls: ioctls::ONCE_MADE
            .iter()
            .map(|(_, number)| *number)
            .collect(),
    }
}
