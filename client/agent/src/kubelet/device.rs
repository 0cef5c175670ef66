//! The names of devices, and of what is named after them.
//!
//! **Invariant:** a [`DeviceId`] has one spelling, so ids can be compared as text and are safe as file names.

use std::{fmt, str::FromStr};

use stagepages_client::{v1::Platform, words};

/// The domain of the resources.
const DOMAIN: &str = "stagepages.dev";

/// The extended resource of a platform's devices, such as `stagepages.dev/kvm`.
#[must_use]
pub fn resource_name(platform: Platform) -> String {
    format!("{DOMAIN}/{}", words::platform(platform.into()))
}

/// The platform whose devices a resource is of.
#[must_use]
pub fn platform_of(resource: &str) -> Option<Platform> {
    let word = resource.strip_prefix(DOMAIN)?.strip_prefix('/')?;
    platform(word)
}

/// One device: one socket of the daemon, and room for one launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId {
    /// Its platform.
    pub platform: Platform,
    /// Counted from 0 on each platform.
    pub number: u32,
}

impl DeviceId {
    /// The tenant that the peers of its socket are.
    #[must_use]
    pub fn tenant(self) -> String {
        format!("device:{self}")
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{}",
            words::platform(self.platform.into()),
            self.number
        )
    }
}

/// Not the name of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a device; those are PLATFORM-N, such as kvm-0 or sev-snp-3")]
pub struct NoDevice;

impl FromStr for DeviceId {
    type Err = NoDevice;

    fn from_str(text: &str) -> Result<Self, NoDevice> {
        let (word, number) = text.rsplit_once('-').ok_or(NoDevice)?;
        let id = Self {
            platform: platform(word).ok_or(NoDevice)?,
            number: number.parse().ok().ok_or(NoDevice)?,
        };
        // Neither kvm-00 nor kvm-+0.
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(NoDevice)
        }
    }
}

fn platform(word: &str) -> Option<Platform> {
    let platform = [
        Platform::Sim,
        Platform::Kvm,
        Platform::SevSnp,
        Platform::Tdx,
    ];
    let is_it = |it: &Platform| words::platform((*it).into()) == word;
    platform.into_iter().find(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_has_one_name() {
        for name in ["kvm-0", "sim-12", "sev-snp-3", "tdx-4294967295"] {
            assert_eq!(name.parse::<DeviceId>().unwrap().to_string(), name);
        }
        for wrong in [
            "",
            "kvm",
            "kvm-",
            "kvm-00",
            "kvm-+1",
            "kvm--1",
            "kvm-4294967296",
            "KVM-0",
            "sev-0",
            "../kvm-0",
            "kvm-0/",
            "unspecified-0",
        ] {
            assert_eq!(wrong.parse::<DeviceId>(), Err(NoDevice), "{wrong}");
        }
    }

    #[test]
    fn a_resource_is_named_after_its_platform() {
        assert_eq!(resource_name(Platform::SevSnp), "stagepages.dev/sev-snp");
        assert_eq!(platform_of("stagepages.dev/tdx"), Some(Platform::Tdx));
        for foreign in [
            "nvidia.com/gpu",
            "stagepages.dev/gpu",
            "stagepages.dev",
            "kvm",
        ] {
            assert_eq!(platform_of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_device_is_a_tenant() {
        assert_eq!(
            "kvm-1".parse::<DeviceId>().unwrap().tenant(),
            "device:kvm-1"
        );
    }
}
