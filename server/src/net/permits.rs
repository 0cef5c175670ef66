//! How many connections there may be, of all and of devices.
//!
//! Devices are handed to workloads that need not trust each other, nor be trusted. So one device has few connections, and all devices together have half: whatever
//! they do, the other half is left to the other listeners.
//!
//! **Invariant:** what is counted is counted until the connection has ended.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections of one device at one time.
const OF_ONE_DEVICE: usize = 16;

/// Who counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crowd {
    /// Who is connected by an address of `listen`.
    Listen,
    /// Who is connected to devices.
    Devices,
}

/// Connections of a server.
#[derive(Debug)]
pub(super) struct Permits {
    all: Arc<Semaphore>,
    devices: Arc<Semaphore>,
}

/// Connections of one device.
#[derive(Debug)]
pub(super) struct DevicePermits(Arc<Semaphore>);

/// Permission to be a connection, until dropped.
#[derive(Debug)]
pub(super) struct Permit {
    _all: OwnedSemaphorePermit,
    _device: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

impl Default for DevicePermits {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(OF_ONE_DEVICE)))
    }
}

impl Permits {
    pub(super) fn new(max_connections: usize) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self {
            all: semaphore(max_connections),
            devices: semaphore(max_connections / 2),
        }
    }

    /// Whether there is room for one more connection, to this device if it is to one.
    pub(super) fn has_room(&self, device: Option<&DevicePermits>) -> bool {
        let free = |permits: &Semaphore| permits.available_permits() > 0;
        free(&self.all) && device.is_none_or(|device| free(&self.devices) && free(&device.0))
    }

    /// How many connections more there may be.
    pub(super) fn left(&self) -> usize {
        self.all.available_permits()
    }

    /// Counts a connection, if there is room for it.
    pub(super) fn take(&self, device: Option<&DevicePermits>) -> Option<Permit> {
        let one = |permits: &Arc<Semaphore>| Arc::clone(permits).try_acquire_owned().ok();
        let device = match device {
            Some(device) => Some((one(&device.0)?, one(&self.devices)?)),
            None => None,
        };
        Some(Permit {
            _all: one(&self.all)?,
            _device: device,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_few_and_all_of_them_half() {
        let permits = Permits::new(100);
        let devices: Vec<_> = (0..10).map(|_| DevicePermits::default()).collect();
        let mut held = Vec::new();
        while let Some(permit) = permits.take(Some(&devices[0])) {
            held.push(permit);
        }
        assert_eq!(held.len(), OF_ONE_DEVICE);
        assert!(!permits.has_room(Some(&devices[0])) && permits.has_room(Some(&devices[1])));
        for device in &devices {
            while let Some(permit) = permits.take(Some(device)) {
                held.push(permit);
            }
        }
        assert_eq!(held.len(), 50);
        assert!(!permits.has_room(Some(&devices[9])));
        let others: Vec<_> = (0..50).map_while(|_| permits.take(None)).collect();
        assert_eq!(others.len(), 50);
        assert!(!permits.has_room(None));
        held.clear();
        assert!(permits.has_room(None) && permits.has_room(Some(&devices[0])));
    }
}
