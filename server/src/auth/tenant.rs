//! Whose launches and images they are.
//!
//! **Invariant:** a name that exists can stand in a log line, a file name and an error as it is.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::Deserialize;

use super::device::DeviceId;
use crate::rpc::status::printable;

/// The longest name, in bytes.
pub const MAX_TENANT_BYTES: usize = 63;

/// The tenant of a daemon without a policy, and of whatever was there before there were tenants.
const LOCAL: &str = "local";

/// What the tenants of devices begin with. None of these is in a policy, so that nobody is one but who holds its socket.
const DEVICE: &str = "device:";

/// The name of a tenant: launches, images, uploads and quotas belong to one. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Tenant(Arc<str>);

/// Not a name of a tenant, or not of one that a policy can name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTenant {
    /// No name.
    #[error(
        "{0:?} is no tenant: write 1 to {MAX_TENANT_BYTES} of a-z, 0-9, '-', '_' and '.', beginning with a letter or digit"
    )]
    Form(String),
    /// The name of a device's tenant, or what looks like one.
    #[error(
        "{0:?} is no tenant that a policy can name: names that begin with device: are those of device sockets; choose another, or bound all devices under [device]"
    )]
    Device(String),
}

impl Tenant {
    /// The tenant `local`.
    #[must_use]
    pub fn local() -> Self {
        Self(LOCAL.into())
    }

    /// The tenant of a device: whoever is connected to its socket.
    #[must_use]
    pub fn of_device(device: DeviceId) -> Self {
        Self(format!("{DEVICE}{device}").into())
    }

    /// The device whose tenant it is, if it is one's.
    #[must_use]
    pub fn device(&self) -> Option<DeviceId> {
        self.0.strip_prefix(DEVICE)?.parse().ok()
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tenant {
    type Err = BadTenant;

    fn from_str(name: &str) -> Result<Self, BadTenant> {
        if let Some(Ok(device)) = name.strip_prefix(DEVICE).map(str::parse) {
            return Ok(Self::of_device(device));
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let good = name.len() <= MAX_TENANT_BYTES
            && name.starts_with(plain)
            && name.chars().all(|c| plain(c) || "-_.".contains(c));
        if good {
            Ok(Self(name.into()))
        } else {
            Err(BadTenant::Form(printable(name, 100)))
        }
    }
}

/// As a policy writes it.
impl TryFrom<String> for Tenant {
    type Error = BadTenant;

    fn try_from(name: String) -> Result<Self, BadTenant> {
        if name.starts_with(DEVICE) {
            return Err(BadTenant::Device(printable(&name, 100)));
        }
        name.parse()
    }
}

impl Borrow<str> for Tenant {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_or_refused() {
        for good in ["local", "a", "0", "team-7.blue_x", &"a".repeat(63)] {
            assert_eq!(good.parse::<Tenant>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "-a",
            ".",
            "A",
            "a b",
            "a/b",
            "a:b",
            "ä",
            "a\n",
            &"a".repeat(64),
        ] {
            let error = bad.parse::<Tenant>().unwrap_err().to_string();
            assert!(error.contains("no tenant"), "{error}");
        }
        assert_eq!(Tenant::local().to_string(), "local");
    }

    #[test]
    fn a_device_has_a_tenant_that_no_policy_can_name() {
        let device: DeviceId = "kvm-3".parse().unwrap();
        let tenant = Tenant::of_device(device);
        assert_eq!(tenant.to_string().parse::<Tenant>().unwrap(), tenant);
        assert_eq!(tenant.device(), Some(device));
        assert_eq!(Tenant::local().device(), None);
        for name in ["device:kvm-3", "device:x", "device:"] {
            let error = Tenant::try_from(name.to_owned()).unwrap_err().to_string();
            assert!(error.contains("device sockets"), "{error}");
        }
        "device:kvm-03".parse::<Tenant>().unwrap_err();
    }
}
