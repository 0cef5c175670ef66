//! Connections to kubelet's sockets.
//!
//! **Invariant:** none takes longer than its bound here, and each call has a deadline of its own.

use std::{path::Path, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint, Error, Uri},
};
use tower::service_fn;

/// For a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection to the socket at `path`, whose calls end after `deadline`.
///
/// # Errors
/// Nobody listens there, or nobody takes the connection in time.
pub async fn connect(path: &Path, deadline: Duration) -> Result<Channel, Error> {
    let path = path.to_owned();
    let dial = service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    // The authority of a request over a Unix socket; the connector above never sees it resolved.
    Endpoint::from_static("http://localhost")
        .connect_timeout(CONNECT)
        .timeout(deadline)
        .connect_with_connector(dial)
        .await
}

/// Whether a call ended by its deadline, which tonic tells in one of two ways.
pub(super) fn timed_out(status: &Status) -> bool {
    [Code::DeadlineExceeded, Code::Cancelled].contains(&status.code())
}

/// An error with its causes, on one line.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let said: Vec<String> = causes.map(ToString::to_string).collect();
    stagepages_client::plain(&said.join(": "))
}
