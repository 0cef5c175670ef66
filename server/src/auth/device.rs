//! Devices: places for one launch each, which an orchestrator hands out, and whose sockets are their credentials.
//!
//! **Invariant:** an id has one spelling, `<platform>-<number>`, and can stand in a file name as it is.

use std::{fmt, str::FromStr};

use stagepages_host::platform::PlatformKind;

use crate::rpc::status::printable;

/// Devices of one platform, at most. A machine has fewer ASIDs and key ids than that.
pub const MAX_DEVICES: u32 = 4096;

/// The longest id in bytes: `sev-snp-4095`.
pub const MAX_DEVICE_ID_BYTES: usize = 12;

/// One device, for example `kvm-0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceId {
    platform: PlatformKind,
    number: u32,
}

/// Not the id of a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no device: write a platform and a number below {MAX_DEVICES}, for example kvm-0")]
pub struct BadDeviceId(String);

impl DeviceId {
    /// The device of this number; `None` if there is no such number.
    #[must_use]
    pub fn new(platform: PlatformKind, number: u32) -> Option<Self> {
        (number < MAX_DEVICES).then_some(Self { platform, number })
    }

    /// What its launches run on.
    #[must_use]
    pub fn platform(self) -> PlatformKind {
        self.platform
    }
}

impl FromStr for DeviceId {
    type Err = BadDeviceId;

    fn from_str(text: &str) -> Result<Self, BadDeviceId> {
        let parsed = text.rsplit_once('-').and_then(|(platform, number)| {
            let platform = PlatformKind::ALL
                .into_iter()
                .find(|known| known.to_string() == platform)?;
            Self::new(platform, number.parse().ok()?)
        });
        // One spelling: no sign, no zero before the number.
        parsed
            .filter(|id| id.to_string() == text)
            .ok_or_else(|| BadDeviceId(printable(text, 64)))
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.platform, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        for good in ["kvm-0", "sim-7", "sev-snp-4095", "tdx-10"] {
            assert_eq!(good.parse::<DeviceId>().unwrap().to_string(), good);
            assert!(good.len() <= MAX_DEVICE_ID_BYTES);
        }
        for bad in [
            "", "kvm", "kvm-", "kvm-+1", "kvm-01", "kvm--1", "kvm-4096", "KVM-0", "../kvm-0",
            "snp-0", "kvm-0/", " kvm-0",
        ] {
            let error = bad.parse::<DeviceId>().unwrap_err().to_string();
            assert!(error.contains("kvm-0"), "{bad}: {error}");
        }
    }
}
