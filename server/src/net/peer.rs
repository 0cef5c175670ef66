//! Who is at the other end of a connection, as far as the kernel knows.
//!
//! **Invariant:** nothing in here comes from the peer's own words.

use std::net::SocketAddr;

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
    /// The remote address.
    Tcp(SocketAddr),
}

impl PeerInfo {
    /// What it is called in a policy, the most precise name first.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Unix { uid, gid, .. } => vec![format!("uid:{uid}"), format!("gid:{gid}")],
            // Until TCP proves who calls: whoever is on this machine.
            Self::Tcp(_) => vec!["tcp:loopback".to_owned()],
        }
    }
}
