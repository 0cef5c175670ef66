//! Whose launches and images they are.
//!
//! **Invariant:** a name that exists can stand in a log line, a file name and an error as it is.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::Deserialize;

use crate::rpc::status::printable;

/// The longest name, in bytes.
pub const MAX_TENANT_BYTES: usize = 63;

/// The tenant of a daemon without a policy, and of whatever was there before there were tenants.
const LOCAL: &str = "local";

/// The name of a tenant: launches, images, uploads and quotas belong to one. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Tenant(Arc<str>);

/// Not a name of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no tenant: write 1 to {MAX_TENANT_BYTES} of a-z, 0-9, '-', '_' and '.', beginning with a letter or digit"
)]
pub struct BadTenant(String);

impl Tenant {
    /// The tenant `local`.
    #[must_use]
    pub fn local() -> Self {
        Self(LOCAL.into())
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
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let good = name.len() <= MAX_TENANT_BYTES
            && name.starts_with(plain)
            && name.chars().all(|c| plain(c) || "-_.".contains(c));
        if good {
            Ok(Self(name.into()))
        } else {
            Err(BadTenant(printable(name, 100)))
        }
    }
}

impl TryFrom<String> for Tenant {
    type Error = BadTenant;

    fn try_from(name: String) -> Result<Self, BadTenant> {
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
}
