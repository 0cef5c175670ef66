//! One connection: HTTP/2 by hyper, each call by [`call::answer`], until the peer leaves or the server drains.
//!
//! **Invariant:** a connection holds its permit for as long as its socket is open.

use std::{convert::Infallible, pin::pin, sync::Arc};

use hyper::{Request, body::Incoming, rt::Executor, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::OwnedSemaphorePermit,
};
use tokio_util::task::TaskTracker;

use super::{
    call,
    limits::{Limits, MAX_HEADER_LIST_BYTES},
    peer::PeerInfo,
    preface::Punctual,
    server::Shared,
};

/// Serves one connection to its end.
pub(super) async fn serve<IO>(
    io: IO,
    peer: PeerInfo,
    shared: Arc<Shared>,
    permit: OwnedSemaphorePermit,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tracing::debug!(?peer, "connected");
    let io = TokioIo::new(Punctual::new(io, shared.limits.preface_timeout));
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let routes = shared.routes.clone();
        let max_message_bytes = shared.limits.max_message_bytes;
        async move { Ok::<_, Infallible>(call::answer(routes, max_message_bytes, request).await) }
    });
    let mut connection = pin!(http2(&shared.limits, &shared.tasks).serve_connection(io, service));
    let ended = tokio::select! {
        biased;
        () = shared.kill.cancelled() => return,
        ended = connection.as_mut() => ended,
        () = shared.drain.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                () = shared.kill.cancelled() => return,
                ended = connection => ended,
            }
        }
    };
    match ended {
        Ok(()) => tracing::debug!(?peer, "disconnected"),
        // A peer's doing; it is told by HTTP/2 itself.
        Err(error) => tracing::debug!(?peer, %error, "connection failed"),
    }
    drop(permit);
}

fn http2(limits: &Limits, tasks: &TaskTracker) -> http2::Builder<Tracked> {
    let mut http2 = http2::Builder::new(Tracked(tasks.clone()));
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams_per_connection)
        .initial_stream_window_size(limits.windows.stream)
        .initial_connection_window_size(limits.windows.connection)
        .max_frame_size(limits.windows.frame)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout);
    http2
}

/// Spawns calls where `Server::serve` waits for them.
#[derive(Debug, Clone)]
struct Tracked(TaskTracker);

impl<F> Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}
