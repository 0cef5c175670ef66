//! Health for whoever probes it by TCP without TLS, as kubelet does: `grpc.health.v1.Health`, Check and Watch, and nothing else.
//!
//! Kubelet dials the pod's address without a certificate, so the API's own addresses cannot answer it. What is said here is said to anybody: whether the daemon
//! serves. It is a server of its own, with few connections and a small budget: no crowd at it takes anything from the API.
//!
//! **Invariant:** no call but of the health service reaches a handler, whoever makes it.

use std::{io, net::SocketAddr, os::fd::OwnedFd, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::{
    accept::Accept,
    bound::{BindError, bind_tcp},
    given::Given,
    half_open::Source,
    limits::{Limits, Windows},
    listen::Listen,
    peer::PeerInfo,
    server::Server,
    shares::TooSmall,
    tally::Trouble,
};
use crate::{
    audit::Audit,
    auth::{Gatekeeper, Policy},
};

/// TCP as it is.
#[derive(Debug)]
pub(super) struct PlainListener(pub(super) TcpListener);

impl Accept for PlainListener {
    type Raw = (TcpStream, SocketAddr);
    type Io = TcpStream;

    async fn accept(&self) -> io::Result<(Self::Raw, Source)> {
        let (stream, address) = self.0.accept().await?;
        stream.set_nodelay(true)?;
        Ok(((stream, address), Source::from(address)))
    }

    async fn open(
        &self,
        (stream, address): Self::Raw,
        _: &Trouble,
    ) -> Option<(TcpStream, PeerInfo)> {
        Some((stream, PeerInfo::Plain { address }))
    }
}

/// A health service that is bound to its address and does not serve yet.
#[derive(Debug)]
pub struct HealthServer(Server);

impl HealthServer {
    /// Binds `address`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// It cannot be served on.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let (tcp, at) = bind_tcp(address)?;
        Ok(Self(Server::plain(tcp, at)))
    }

    /// Takes a listening socket that somebody else bound. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// It cannot be served on.
    pub fn given(socket: OwnedFd) -> Result<Self, BindError> {
        let failed = |source| BindError::Given {
            name: "health",
            source,
        };
        match Given::of(socket).map_err(failed)? {
            (Given::Tcp(tcp), at) => Ok(Self(Server::plain(tcp, at))),
            (Given::Unix(_), _) => Err(failed(io::Error::other("it is not TCP"))),
        }
    }

    /// The address as it is: port 0 has become the port that the kernel chose.
    #[must_use]
    pub fn local_addr(&self) -> Option<&Listen> {
        self.0.local_addrs().first()
    }

    /// Serves `routes`, which have the health service, until `drain` is cancelled.
    ///
    /// # Errors
    /// None that is known: the budget is made for the limits.
    pub async fn serve(self, routes: Routes, drain: CancellationToken) -> Result<(), TooSmall> {
        // A policy that nobody changes.
        let (_last, policy) = watch::channel(Arc::new(Policy::health_only()));
        let keeper = Gatekeeper::new(policy);
        self.0
            .serve(
                routes,
                keeper,
                limits(),
                Audit::off(),
                Arc::default(),
                drain,
            )
            .await
    }
}

/// Enough for every probe of a node, and watchers beside them.
fn limits() -> Limits {
    Limits {
        max_connections: 32,
        max_streams_per_connection: 8,
        // A name of a service.
        max_message_bytes: 4 << 10,
        max_handshakes: 32,
        handshake_timeout: Duration::from_secs(10),
        windows: Windows {
            stream: 64 << 10,
            connection: 64 << 10,
            frame: 16 << 10,
        },
        receive_budget_bytes: 16 << 20,
        stall_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(60),
        ..Limits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Shares;

    #[test]
    fn the_budget_suffices_for_the_limits() {
        Shares::of(&limits()).unwrap();
    }
}
