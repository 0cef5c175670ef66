//! Who is at the other end of a connection, as far as the kernel knows, or a certificate proves.
//!
//! **Invariant:** nothing in here comes from the peer's own words.

use std::{
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::tls::ClientCertificate;
use crate::auth::DeviceId;

/// The least that a timer waits (tokio::time::sleep), so that what ends now is over when it fires.
const TICK: Duration = Duration::from_millis(1);

/// The other end of a connection; in the extensions of every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerInfo {
    /// A process on this machine, as it was when it connected (`SO_PEERCRED` of unix(7)).
    Unix {
        /// Effective user id.
        uid: u32,
        /// Effective group id.
        gid: u32,
        /// Process id in the daemon's pid namespace; none where it is not visible there.
        pid: Option<i32>,
    },
    /// A process that holds a device's socket, which is all that it has to prove. The rest is as of any process on this machine.
    Device {
        /// Which device.
        id: DeviceId,
        /// Effective user id.
        uid: u32,
        /// Effective group id.
        gid: u32,
        /// Process id in the daemon's pid namespace; none where it is not visible there.
        pid: Option<i32>,
    },
    /// A client over TCP that proved nothing.
    Plain {
        /// Its address.
        address: SocketAddr,
    },
    /// A client that proved who it is by mutual TLS.
    Tls {
        /// Its address.
        address: SocketAddr,
        /// What it proved to hold the key of.
        certificate: Arc<ClientCertificate>,
    },
}

impl PeerInfo {
    /// Whether what the peer proved itself by is valid no longer.
    #[must_use]
    pub fn has_expired(&self, now: SystemTime) -> bool {
        match self {
            Self::Unix { .. } | Self::Device { .. } | Self::Plain { .. } => false,
            Self::Tls { certificate, .. } => certificate.has_expired(now),
        }
    }

    /// Waits until what the peer proved itself by is valid no longer; for ever where that does not end.
    ///
    /// By the machine's clock, which may be set: one that is set back is waited for again, and of one that is set forward nobody learns here before the
    /// time that was left has passed.
    pub async fn expired(&self) {
        let Self::Tls { certificate, .. } = self else {
            return std::future::pending().await;
        };
        // One that has not ended is valid at its last instant too.
        while let Ok(left) = certificate.not_after().duration_since(SystemTime::now()) {
            tokio::time::sleep(left.saturating_add(TICK)).await;
        }
    }
}

impl PeerInfo {
    /// What it is called in a policy, the most precise name first.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Unix { uid, gid, .. } => vec![format!("uid:{uid}"), format!("gid:{gid}")],
            Self::Device { id, .. } => vec![format!("device:{id}")],
            Self::Plain { .. } => Vec::new(),
            Self::Tls { certificate, .. } => vec![certificate.identity().to_owned()],
        }
    }
}

impl fmt::Display for PeerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { uid, pid, .. } => {
                write!(f, "uid {uid}")?;
                pid.map_or(Ok(()), |pid| write!(f, " pid {pid}"))
            }
            Self::Device { id, uid, pid, .. } => {
                write!(f, "device {id} uid {uid}")?;
                pid.map_or(Ok(()), |pid| write!(f, " pid {pid}"))
            }
            Self::Plain { address } => write!(f, "{address}"),
            Self::Tls {
                address,
                certificate,
            } => write!(f, "{} at {address}", certificate.identity()),
        }
    }
}
