//! Connecting to a daemon, and saying why it did not work.
//!
//! **Invariant:** the channel reconnects for the next call after a lost connection, but never sends a call twice.

use std::{error::Error, io, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{self, Channel, Uri};
use tower::service_fn;

use crate::Endpoint;

/// Flow-control windows towards us. The largest answer is a page of the ledger, well under 1 MiB; pages flow the other way.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A call may rightly take minutes (firmware installs a page in about a millisecond), so a dead peer is found by pings, not by a deadline.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// The daemon could not be reached.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach the daemon at {endpoint}")]
pub struct ConnectError {
    endpoint: Endpoint,
    source: transport::Error,
}

impl ConnectError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self.io_kind() {
            Some(io::ErrorKind::PermissionDenied) => {
                "its socket is for the user who runs it: run this as that user, or name another with --endpoint"
            }
            Some(io::ErrorKind::InvalidInput) => {
                "this is no path or address that a socket can have: name another with --endpoint"
            }
            _ => {
                "start it with `stagepagesd serve`, or name where it listens with --endpoint or STAGEPAGES_ENDPOINT"
            }
        }
    }

    fn io_kind(&self) -> Option<io::ErrorKind> {
        let mut cause = self.source.source();
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return Some(error.kind());
            }
            cause = error.source();
        }
        None
    }
}

/// A channel to `endpoint`, connected.
pub(crate) async fn connect(endpoint: &Endpoint) -> Result<Channel, ConnectError> {
    let connected = match endpoint {
        Endpoint::Unix(path) => {
            let path = path.clone();
            let dial = service_fn(move |_: Uri| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            });
            // The authority of a request over a Unix socket; the connector above never sees it resolved.
            tuned(transport::Endpoint::from_static("http://localhost"))
                .connect_with_connector(dial)
                .await
        }
        Endpoint::Tcp { host, port } => {
            match transport::Endpoint::from_shared(format!("http://{host}:{port}")) {
                Ok(target) => tuned(target).connect().await,
                Err(malformed) => Err(malformed),
            }
        }
    };
    connected.map_err(|source| ConnectError {
        endpoint: endpoint.clone(),
        source,
    })
}

fn tuned(target: transport::Endpoint) -> transport::Endpoint {
    target
        .connect_timeout(CONNECT_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .tcp_nodelay(true)
}
