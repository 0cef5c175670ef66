//! Connecting to a daemon, and saying why it did not work.
//!
//! **Invariant:** the channel reconnects for the next call after a lost connection, but never sends a call twice.

use std::{error::Error, io, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{self, Channel, Uri};
use tower::service_fn;

use crate::{
    Credentials, Endpoint,
    causes::cause,
    credentials::CredentialsError,
    tls::{self, DialError},
};

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
    source: Box<dyn Error + Send + Sync>,
}

impl ConnectError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        if self.is_about_tls() {
            return "TCP is served by mutual TLS: see --ca, --cert, --key and --server-name, and deploy/TLS.md";
        }
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

    fn is_about_tls(&self) -> bool {
        self.causes().any(|error| {
            error.is::<CredentialsError>()
                || error
                    .downcast_ref::<DialError>()
                    .is_some_and(|error| !matches!(error, DialError::Connect(_)))
        })
    }

    fn io_kind(&self) -> Option<io::ErrorKind> {
        self.causes().find_map(|error| {
            // Transparent, so the system's error is not among its causes.
            match error.downcast_ref::<DialError>() {
                Some(DialError::Connect(error)) => Some(error.kind()),
                Some(_) | None => error.downcast_ref::<io::Error>().map(io::Error::kind),
            }
        })
    }

    fn causes(&self) -> impl Iterator<Item = &(dyn Error + 'static)> {
        let first: &(dyn Error + 'static) = &*self.source;
        std::iter::successors(Some(first), cause)
    }
}

/// A channel to `endpoint`, connected; over TCP with `credentials`, whose files are read again for each connection.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    credentials: Option<&Credentials>,
) -> Result<Channel, ConnectError> {
    channel(endpoint, credentials)
        .await
        .map_err(|source| ConnectError {
            endpoint: endpoint.clone(),
            source,
        })
}

async fn channel(
    endpoint: &Endpoint,
    credentials: Option<&Credentials>,
) -> Result<Channel, Box<dyn Error + Send + Sync>> {
    Ok(match endpoint {
        Endpoint::Unix(path) => {
            let path = path.clone();
            let dial = service_fn(move |_: Uri| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            });
            // The authority of a request over a Unix socket; the connector above never sees it resolved.
            tuned(transport::Endpoint::from_static("http://localhost"))
                .connect_with_connector(dial)
                .await?
        }
        Endpoint::Tcp { host, port } => {
            let credentials = credentials.ok_or(CredentialsError::Missing)?.clone();
            let target = transport::Endpoint::from_shared(format!("https://{host}:{port}"))?;
            let (host, port) = (host.clone(), *port);
            let dial = service_fn(move |_: Uri| {
                let (host, credentials) = (host.clone(), credentials.clone());
                async move { tls::dial(&host, port, &credentials).await.map(TokioIo::new) }
            });
            tuned(target).connect_with_connector(dial).await?
        }
    })
}

fn tuned(target: transport::Endpoint) -> transport::Endpoint {
    target
        .connect_timeout(CONNECT_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
}
