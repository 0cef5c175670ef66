//! The collector, by its addresses: names are looked up once, before the daemon is confined, for nothing that looks them up is within reach afterwards.
//!
//! **Invariant:** connects to the port of `otlp_endpoint` and to no other.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};
use tonic::transport::{Channel, Endpoint};

use crate::config::traces::OtlpEndpoint;

/// How long one address may take to accept.
const CONNECT: Duration = Duration::from_secs(2);

/// Addresses of a name that are tried.
const ADDRESSES: usize = 4;

/// How often a connection that is waited on is looked after.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Where spans are sent.
#[derive(Debug, Clone)]
pub struct Collector {
    endpoint: OtlpEndpoint,
    addresses: Vec<SocketAddr>,
}

impl Collector {
    /// Looks the endpoint's host up. The system bounds how long that takes; an address takes none.
    ///
    /// # Errors
    /// There is no such host, or it cannot be known now.
    pub fn find(endpoint: &OtlpEndpoint) -> io::Result<Self> {
        let found = (endpoint.host(), endpoint.port()).to_socket_addrs()?;
        let addresses: Vec<_> = found.take(ADDRESSES).collect();
        if addresses.is_empty() {
            return Err(io::Error::other("it has no address"));
        }
        Ok(Self {
            endpoint: endpoint.clone(),
            addresses,
        })
    }

    /// A connection that is made when it is needed, and made again when it broke.
    ///
    /// # Errors
    /// Not reached: an endpoint is an address.
    pub(super) fn channel(&self) -> Result<Channel, tonic::transport::Error> {
        let addresses = self.addresses.clone();
        let connect = tower::service_fn(move |_uri: http::Uri| {
            let addresses = addresses.clone();
            async move { connect(&addresses).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_shared(self.endpoint.to_string())?
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(CONNECT);
        Ok(endpoint.connect_with_connector_lazy(connect))
    }
}

/// Connects to the first of these that accepts.
async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::other("no address");
    for address in addresses {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_elapsed) => last = io::Error::from(io::ErrorKind::TimedOut),
        }
    }
    Err(last)
}
