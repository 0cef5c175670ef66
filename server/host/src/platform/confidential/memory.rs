//! Private memory: one guest_memfd for each region, that nobody can map, bound and set private.
//!
//! **Invariant:** no descriptor leaves this process and no hole is ever punched: either would be data loss after measurement, or a way to install a page
//! twice (kernel.md, sections 2.8 and 6).

use std::time::Duration;

use stagepages_kvm::{GuestMemfd, GuestMemfdFlags, KvmError, Vm};

use crate::{launch::Lap, platform::Memory};

/// The memory of a region: held open until the launch is over, because it goes with the descriptor.
#[derive(Debug)]
pub(in crate::platform) struct Private {
    _guest_memfd: GuestMemfd,
}

/// Makes, binds and sets private the memory of every region, a memslot each; and how long the last took.
///
/// # Errors
/// What the kernel said, by ioctl.
pub(in crate::platform) fn back(
    vm: &mut Vm,
    plan: &Memory<()>,
) -> Result<(Memory<Private>, Duration), KvmError> {
    let mut attributes_time = Duration::ZERO;
    let memory = Memory::back(plan, |slot, region| {
        let guest_memfd = vm.create_guest_memfd(region.bytes(), GuestMemfdFlags::NONE)?;
        vm.set_private_region(slot, region, &guest_memfd, 0)?;
        let mut lap = Lap::start();
        vm.set_private(region)?;
        attributes_time += lap.split();
        Ok(Private {
            _guest_memfd: guest_memfd,
        })
    })?;
    Ok((memory, attributes_time))
}
