//! The keys of devices: where their sockets are, and how many there are of which platform.
//!
//! **Invariant:** every device that these allow has a path that a socket address can hold.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::Deserialize;
use stagepages_host::platform::PlatformKind;

use super::{
    ConfigError,
    values::{AbsolutePath, ValueError},
};
use crate::{
    auth::{MAX_DEVICE_ID_BYTES, MAX_DEVICES},
    net::MAX_SOCKET_PATH_BYTES,
    rpc::status::printable,
};

/// The name of a device's socket in the device's directory.
pub const SOCKET_NAME: &str = "api.sock";

/// The longest directory, in bytes: `/<id>/api.sock` has to fit behind it.
const MAX_DIR_BYTES: usize = MAX_SOCKET_PATH_BYTES - MAX_DEVICE_ID_BYTES - SOCKET_NAME.len() - 2;

/// How many devices of one platform there are, written `kvm=4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct DeviceCount {
    platform: PlatformKind,
    count: u32,
}

/// Devices as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceConfig {
    /// Where their directories are; absolute. It need not exist.
    pub dir: PathBuf,
    counts: Vec<DeviceCount>,
}

impl DeviceConfig {
    /// How many there are of a platform, if that is configured.
    #[must_use]
    pub fn count(&self, platform: PlatformKind) -> Option<u32> {
        let found = self.counts.iter().find(|it| it.platform == platform);
        found.map(|it| it.count)
    }

    /// How many are configured.
    #[must_use]
    pub fn configured(&self) -> u64 {
        self.counts.iter().map(|it| u64::from(it.count)).sum()
    }
}

/// What the keys amount to.
pub(super) fn devices(
    dir: Option<AbsolutePath>,
    counts: Option<Vec<DeviceCount>>,
) -> Result<Option<DeviceConfig>, ConfigError> {
    let counts = counts.unwrap_or_default();
    let Some(dir) = dir.map(AbsolutePath::into_path) else {
        return match counts.first() {
            Some(count) => Err(ConfigError::DevicesWithoutDir(*count)),
            None => Ok(None),
        };
    };
    let mut seen = Vec::new();
    for DeviceCount { platform, .. } in &counts {
        if seen.contains(platform) {
            return Err(ConfigError::DevicesTwice(*platform));
        }
        seen.push(*platform);
    }
    if dir.as_os_str().len() > MAX_DIR_BYTES {
        let max = MAX_DIR_BYTES;
        return Err(ConfigError::DeviceDir { dir, max });
    }
    Ok(Some(DeviceConfig { dir, counts }))
}

impl FromStr for DeviceCount {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let form = || ValueError::DeviceCount(printable(text, 64));
        let (platform, count) = text.split_once('=').ok_or_else(form)?;
        let known = PlatformKind::ALL
            .into_iter()
            .find(|known| known.to_string() == platform);
        let platform = known.ok_or_else(|| ValueError::Platform(printable(platform, 64)))?;
        let count: u32 = count.parse().map_err(|_not_a_number| form())?;
        if count > MAX_DEVICES {
            return Err(form());
        }
        Ok(Self { platform, count })
    }
}

impl TryFrom<String> for DeviceCount {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl fmt::Display for DeviceCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.platform, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(dir: Option<&str>, counts: &[&str]) -> Result<Option<DeviceConfig>, ConfigError> {
        let dir = dir.map(|dir| dir.parse().unwrap());
        let counts = counts.iter().map(|text| text.parse().unwrap()).collect();
        devices(dir, Some(counts))
    }

    #[test]
    fn counts_are_by_platform_and_go_with_a_directory() {
        assert_eq!(resolve(None, &[]).unwrap(), None);
        let config = resolve(Some("/d"), &["kvm=4", "sev-snp=0"])
            .unwrap()
            .unwrap();
        assert_eq!(config.count(PlatformKind::Kvm), Some(4));
        assert_eq!(config.count(PlatformKind::SevSnp), Some(0));
        assert_eq!(config.count(PlatformKind::Tdx), None);
        assert_eq!(config.configured(), 4);
        let error = |dir, counts: &[&str]| resolve(dir, counts).unwrap_err().to_string();
        let orphan = error(None, &["kvm=4"]);
        assert!(
            orphan.contains("kvm=4") && orphan.contains("device_dir"),
            "{orphan}"
        );
        let twice = error(Some("/d"), &["kvm=4", "kvm=1"]);
        assert!(twice.contains("kvm is there twice"), "{twice}");
        let long = format!("/{}", "d".repeat(MAX_DIR_BYTES));
        assert!(
            error(Some(&long), &[]).contains("85 bytes"),
            "{}",
            error(Some(&long), &[])
        );
        resolve(Some(&long[..MAX_DIR_BYTES]), &[]).unwrap();
    }

    #[test]
    fn a_count_is_a_platform_and_a_number() {
        for bad in ["", "kvm", "kvm=", "kvm=-1", "kvm=4097", "kvm=x"] {
            let error = bad.parse::<DeviceCount>().unwrap_err().to_string();
            assert!(error.contains("kvm=4"), "{bad}: {error}");
        }
        let error = "xen=1".parse::<DeviceCount>().unwrap_err().to_string();
        assert!(error.contains("\"xen\" is no platform"), "{error}");
    }
}
