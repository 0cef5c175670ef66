//! Who a caller is, and what it may do: identities, tenants, roles, and the policy that ties them together.
//!
//! ```text
//!  connection ─▶ PeerInfo ─▶ Policy ─▶ Caller { identity, tenant, roles } ─▶ the request's extensions
//!   (net: certificate, the kernel, or         ▲
//!    the device whose socket it is)         │
//!                                     policy file, read again when it changes
//! ```
//!
//! The one place where calls are let in is `net::gate`; handlers only ask whose launches and images they may see.
//!
//! **Invariant:** a handler that runs has a [`Caller`] whose roles the call needs; nothing in here comes from the peer's own words.

mod device;
mod file;
mod gatekeeper;
mod identity;
mod meters;
mod policy;
mod quota;
mod rights;
mod role;
mod tenant;

pub use device::{BadDeviceId, DeviceId, MAX_DEVICE_ID_BYTES, MAX_DEVICES};
pub use file::{PolicyError, PolicyFile};
pub use gatekeeper::{Gatekeeper, NAMED, Standing};
pub use identity::BadIdentity;
pub use meters::{Busy, Meters, UnderWay};
pub use policy::{BadPolicy, Grant, MAX_POLICY_BYTES, Policy};
pub use quota::{Bounds, Quota, Resource, Total};
pub use rights::{Needs, needs};
pub use role::{Role, Roles};
pub use tenant::{BadTenant, MAX_TENANT_BYTES, Tenant};

use std::sync::Arc;

use http::Extensions;

use crate::{
    net::PeerInfo,
    rpc::{reason::Reason, status::ApiError},
};

/// Who makes a call; in the extensions of its request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The name by which the policy knows it, such as `uid:1000` or `spiffe://example.org/orchestrator`.
    pub identity: Arc<str>,
    /// Whose launches and images it sees.
    pub tenant: Tenant,
    /// What it may do.
    pub roles: Roles,
    /// Its end of the connection.
    pub peer: PeerInfo,
}

impl Caller {
    /// The caller of a request that was let in.
    ///
    /// # Errors
    /// INTERNAL_ERROR: a call came here by another way.
    pub fn of(extensions: &Extensions) -> Result<&Self, ApiError> {
        extensions.get().ok_or_else(|| {
            ApiError::new(
                Reason::InternalError,
                "the call was let in without a caller; report this",
            )
        })
    }
}
