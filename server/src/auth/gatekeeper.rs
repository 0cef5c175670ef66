//! Whether a call may begin, and whether it may go on after the policy has changed.
//!
//! A call that names a tenant (`x-stagepages-tenant`) other than its caller's own looks at that one's things, and does nothing else: who makes it needs the role
//! for that, and has the role of one who looks for the length of the call.
//!
//! **Invariant:** a call goes on only as the tenant that it began as.

use std::{sync::Arc, time::SystemTime};

use tokio::sync::watch;

use super::{
    Caller, Meters, Needs, Role, Roles, Tenant, UnderWay, needs,
    policy::{Grant, Policy},
};
use crate::{
    net::PeerInfo,
    rpc::{
        reason::Reason,
        status::{ApiError, printable},
    },
};

/// Where a call names the tenant whose things it is about.
pub const NAMED: &str = "x-stagepages-tenant";

/// Who may name a tenant that is not its own.
const OVERSEERS: Roles = Roles::of(&[Role::Overseer]);

/// Judges calls by the policy as it is now. Clones are the same.
#[derive(Debug, Clone)]
pub struct Gatekeeper {
    policy: watch::Receiver<Arc<Policy>>,
    meters: Arc<Meters>,
}

/// A call that was let in.
#[derive(Debug, Clone)]
pub struct Standing {
    policy: watch::Receiver<Arc<Policy>>,
    peer: PeerInfo,
    path: Arc<str>,
    /// Whose things it named, if it did.
    named: Option<Tenant>,
    /// `None` for whoever is connected, where the policy answers those.
    caller: Option<Caller>,
    /// Counts for its tenant until it has ended.
    _under_way: Option<Arc<UnderWay>>,
}

impl Gatekeeper {
    /// Judges by the newest of these.
    #[must_use]
    pub fn new(policy: watch::Receiver<Arc<Policy>>) -> Self {
        Self {
            policy,
            meters: Arc::default(),
        }
    }

    /// What it counts calls with.
    #[must_use]
    pub fn meters(&self) -> &Arc<Meters> {
        &self.meters
    }

    /// Whether calls of this peer may name any tenant; its own tenant, if so.
    #[must_use]
    pub fn overseer(&self, peer: &PeerInfo) -> Option<Tenant> {
        let (_, grant) = self.policy.borrow().of(peer)?;
        grant.roles.meet(OVERSEERS).then_some(grant.tenant)
    }

    /// Lets a call of the method at `path` in, which may name a tenant.
    ///
    /// # Errors
    /// PERMISSION, QUOTA_EXCEEDED.
    pub fn admit(
        &self,
        peer: &PeerInfo,
        path: &str,
        named: Option<Tenant>,
    ) -> Result<Standing, ApiError> {
        let mut policy = self.policy.clone();
        let now = Arc::clone(&policy.borrow_and_update());
        let caller = judge(&now, peer, path, named.as_ref())?;
        // Whoever looks at another's things takes nothing of that one's quota.
        let own = caller.as_ref().and_then(|_| now.of(peer));
        let under_way = own.map(|(_, grant)| {
            let bounds = now.bounds(&grant.tenant);
            self.meters.enter(&bounds).map(Arc::new)
        });
        let under_way = under_way.transpose()?;
        Ok(Standing {
            policy,
            peer: peer.clone(),
            path: path.into(),
            named,
            caller,
            _under_way: under_way,
        })
    }
}

impl Standing {
    /// Who calls; `None` for a call that is answered to anyone.
    #[must_use]
    pub fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    /// Looks again: whether the peer's certificate is still valid, and if the policy has changed since, at that.
    ///
    /// # Errors
    /// UNAUTHENTICATED, PERMISSION: the call is over.
    pub fn check(&mut self) -> Result<(), ApiError> {
        if self.peer.has_expired(SystemTime::now()) {
            let text = "the client's certificate has expired; connect again with a new one";
            return Err(ApiError::new(Reason::Unauthenticated, text));
        }
        // A policy that nobody can change any more is the last one.
        if !self.policy.has_changed().unwrap_or(false) {
            return Ok(());
        }
        let policy = Arc::clone(&self.policy.borrow_and_update());
        let now = judge(&policy, &self.peer, &self.path, self.named.as_ref())?;
        let tenant = |caller: &Option<Caller>| caller.as_ref().map(|caller| caller.tenant.clone());
        if tenant(&now) == tenant(&self.caller) {
            return Ok(());
        }
        let text = "the daemon's policy has changed: this caller belongs to another tenant now; call again";
        Err(ApiError::new(Reason::Permission, text))
    }

    /// Waits until the policy changes, or the peer's certificate expires; for ever where neither can.
    pub async fn changed(&mut self) {
        let Self { policy, peer, .. } = self;
        let changed = async {
            if policy.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            // Still to be looked at.
            policy.mark_changed();
        };
        tokio::select! {
            () = changed => {}
            () = peer.expired() => {}
        }
    }
}

fn judge(
    policy: &Policy,
    peer: &PeerInfo,
    path: &str,
    named: Option<&Tenant>,
) -> Result<Option<Caller>, ApiError> {
    if policy.is_health_only() && needs(path) != Needs::Health {
        let text = "only grpc.health.v1.Health, Check and Watch, is answered at this address (health_listen); call the API at an address of listen";
        return Err(ApiError::new(Reason::UnsupportedOperation, text).meta("method", path));
    }
    let found = policy.of(peer);
    let open = match needs(path) {
        Needs::OneOf(_) => false,
        Needs::Health => policy.health_for_anyone(),
        Needs::Reflection => policy.reflection_for_anyone(),
    };
    let Some((name, grant)) = found else {
        return if open {
            Ok(None)
        } else {
            Err(stranger(peer, path))
        };
    };
    let grant = match named {
        Some(tenant) if *tenant != grant.tenant => oversees(&name, &grant, tenant, path)?,
        Some(_) | None => grant,
    };
    match needs(path) {
        Needs::OneOf(roles) if !grant.roles.meet(roles) => {
            let method = path.rsplit('/').next().unwrap_or(path);
            let text = format!(
                "{} may not call {method}, which takes the role {roles}; who keeps the daemon's policy can give it",
                printable(&name, 200)
            );
            Err(ApiError::new(Reason::Permission, text).meta("method", path))
        }
        Needs::OneOf(_) | Needs::Health | Needs::Reflection => {
            Ok(Some(caller(&name, &grant, peer)))
        }
    }
}

/// What a caller may do with the things of another tenant that it named.
fn oversees(name: &str, own: &Grant, tenant: &Tenant, path: &str) -> Result<Grant, ApiError> {
    if own.roles.meet(OVERSEERS) {
        return Ok(Grant {
            tenant: tenant.clone(),
            roles: Roles::of(&[Role::Viewer]),
        });
    }
    let text = format!(
        "{} may not look at what another tenant has, which takes the role overseer; call without {NAMED}, or as one whom the daemon's policy gives that role",
        printable(name, 200)
    );
    Err(ApiError::new(Reason::Permission, text).meta("method", path))
}

fn caller(name: &str, grant: &Grant, peer: &PeerInfo) -> Caller {
    Caller {
        identity: name.into(),
        tenant: grant.tenant.clone(),
        roles: grant.roles,
        peer: peer.clone(),
    }
}

fn stranger(peer: &PeerInfo, path: &str) -> ApiError {
    let names = peer.names();
    let name = names
        .first()
        .map_or("a caller without a name", String::as_str);
    let text = format!(
        "{} is nobody that the daemon's policy knows; who keeps it can add it as a [[caller]]",
        printable(name, 200)
    );
    ApiError::new(Reason::Permission, text).meta("method", path)
}

#[cfg(test)]
mod tests;
