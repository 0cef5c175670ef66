//! The policy: which callers there are, whose they are, what they may do, and what their tenants may take.
//!
//! ```toml
//! [[caller]]
//! identity = "spiffe://example.org/orchestrator"
//! tenant = "blue"
//! roles = ["stager", "runner"]
//!
//! [tenant.blue]
//! launches = 20
//! ```
//!
//! **Invariant:** who is not named has no role; what is not understood is refused as a whole.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::{
    identity::{BadIdentity, Pattern},
    quota::{Bounds, Quota, Total},
    role::{Role, Roles},
    tenant::Tenant,
};
use crate::{net::PeerInfo, rpc::status::printable};

/// The largest policy, in bytes.
pub const MAX_POLICY_BYTES: u64 = 1 << 20;

/// What a caller may do, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Whose launches and images it sees.
    pub tenant: Tenant,
    /// What it may do with them.
    pub roles: Roles,
}

/// Who may do what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    exact: HashMap<String, Grant>,
    /// The longest first.
    below: Vec<(String, Grant)>,
    anyone: Anyone,
    health_only: bool,
    tenants: BTreeMap<Tenant, Quota>,
    default: Quota,
    device: Quota,
    total: Total,
}

/// What every device may take whatever the policy says: one launch that lives; some that are over, whose consoles can still be read; and calls that leave room
/// for those of others.
const DEVICE: Quota = Quota {
    launches: Some(16),
    live_launches: Some(1),
    memory_bytes: None,
    staged_bytes: None,
    image_bytes: None,
    streams: Some(64),
    calls_per_second: None,
};

/// What is answered to whoever is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Anyone {
    health: bool,
    reflection: bool,
}

impl Default for Anyone {
    /// Health says nothing of anybody's launches, and probes have no identity.
    fn default() -> Self {
        Self {
            health: true,
            reflection: false,
        }
    }
}

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    caller: Vec<toml::Spanned<Row>>,
    anyone: Anyone,
    tenant: BTreeMap<Tenant, Quota>,
    default: Quota,
    device: Quota,
    total: Total,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    identity: String,
    tenant: Tenant,
    roles: Vec<Role>,
}

/// Why a policy is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text:?}: {message}")]
pub struct BadPolicy {
    /// The line, from 1.
    line: usize,
    /// The line itself.
    text: String,
    /// What is wrong with it.
    message: String,
}

impl BadPolicy {
    fn at(text: &str, offset: usize, message: &str) -> Self {
        let before = text.get(..offset.min(text.len())).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let shown = text.lines().nth(line - 1).unwrap_or_default();
        Self {
            line,
            text: printable(shown.trim(), 120),
            message: printable(&message.replace('\n', ", "), 500),
        }
    }
}

impl Policy {
    /// The policy where none is configured: who runs the daemon, and root, may do everything as the tenant `local`, and look at the devices'; nobody else may do
    /// anything.
    #[must_use]
    pub fn builtin(uid: u32) -> Self {
        let grant = Grant {
            tenant: Tenant::local(),
            roles: Roles::of(&[Role::Admin, Role::Overseer]),
        };
        let names = [format!("uid:{uid}"), "uid:0".to_owned()];
        Self {
            exact: names
                .into_iter()
                .map(|name| (name, grant.clone()))
                .collect(),
            ..Self::default()
        }
    }

    /// The policy where nothing but health is served, to anyone.
    #[must_use]
    pub fn health_only() -> Self {
        Self {
            health_only: true,
            ..Self::default()
        }
    }

    /// Whether nothing but health is served.
    #[must_use]
    pub fn is_health_only(&self) -> bool {
        self.health_only
    }

    /// Reads a policy.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn parse(text: &str) -> Result<Self, BadPolicy> {
        let file: File = toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            BadPolicy::at(text, offset, error.message())
        })?;
        let mut policy = Self {
            anyone: file.anyone,
            tenants: file.tenant,
            default: file.default,
            device: file.device,
            total: file.total,
            ..Self::default()
        };
        for row in file.caller {
            let at = row.span().start;
            policy
                .add(row.into_inner())
                .map_err(|message| BadPolicy::at(text, at, &message))?;
        }
        policy
            .below
            .sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Ok(policy)
    }

    fn add(&mut self, row: Row) -> Result<(), String> {
        let pattern = row.identity.parse();
        let pattern: Pattern = pattern.map_err(|error: BadIdentity| error.to_string())?;
        if row.roles.is_empty() {
            return Err(format!(
                "{} has no roles; write some of viewer, stager, runner, admin, overseer, or remove it",
                row.identity
            ));
        }
        let grant = Grant {
            tenant: row.tenant,
            roles: Roles::of(&row.roles),
        };
        let known = match pattern {
            Pattern::Exact(name) => self.exact.insert(name, grant).is_some(),
            Pattern::Below(prefix) => {
                let known = self.below.iter().any(|(known, _)| *known == prefix);
                self.below.push((prefix, grant));
                known
            }
        };
        if known {
            return Err(format!(
                "{} is there twice; a caller has one tenant",
                row.identity
            ));
        }
        Ok(())
    }

    /// What a peer may do, and the name by which it is known. The most precise name decides: the user before the group, a whole SPIFFE ID before
    /// a path, a longer path before a shorter one. Who holds a device's socket is that device, whatever the policy says.
    #[must_use]
    pub fn of(&self, peer: &PeerInfo) -> Option<(String, Grant)> {
        let names = peer.names();
        if let PeerInfo::Device { id, .. } = peer {
            let grant = Grant {
                tenant: Tenant::of_device(*id),
                roles: Roles::of(&[Role::Stager, Role::Runner, Role::Holder]),
            };
            return names.into_iter().next().map(|name| (name, grant));
        }
        for name in &names {
            if let Some(grant) = self.exact.get(name) {
                return Some((name.clone(), grant.clone()));
            }
        }
        names.into_iter().find_map(|name| {
            let mut below = self.below.iter();
            let (_, grant) = below.find(|(prefix, _)| name.starts_with(prefix.as_str()))?;
            Some((name, grant.clone()))
        })
    }

    /// Whether health is answered to whoever is connected.
    #[must_use]
    pub fn health_for_anyone(&self) -> bool {
        self.anyone.health
    }

    /// Whether reflection is.
    #[must_use]
    pub fn reflection_for_anyone(&self) -> bool {
        self.anyone.reflection
    }

    /// What all tenants may take together.
    #[must_use]
    pub fn total(&self) -> Total {
        self.total
    }

    /// What a tenant may take, and all of them together.
    #[must_use]
    pub fn bounds(&self, tenant: &Tenant) -> Bounds {
        let own = self.tenants.get(tenant).copied().unwrap_or_default();
        let own = match tenant.device() {
            Some(_) => self.device.or(self.default).within(DEVICE),
            None => own.or(self.default),
        };
        Bounds {
            tenant: tenant.clone(),
            own,
            total: self.total,
        }
    }
}

#[cfg(test)]
mod tests;
