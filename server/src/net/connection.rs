//! One connection: HTTP/2 by hyper, each call by [`call::answer`], until the peer leaves, has nothing to ask, or the server drains.
//!
//! What floods a connection is bounded by h2 0.4.20: unread small or empty DATA frames (`record_data_frame()`,
//! src/proto/streams/counts.rs), CONTINUATION (`max_continuation_frames`, src/codec/framed_read.rs), header lists
//! (`load_hpack()`, src/frame/headers.rs), resets ([`MAX_RESETS_UNSEEN`], [`MAX_RULES_BROKEN`]). PING and SETTINGS are answered
//! one at a time, before more is read (`poll_ready()`, src/proto/connection.rs), so a peer that does not take the answers is
//! not read; of one that does, [`Calm`] has enough in the end.
//!
//! **Invariant:** a connection holds its permit and its part of the budget for as long as its socket is open.

use std::{
    convert::Infallible,
    error::Error,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use hyper::{Request, body::Incoming, rt::Executor, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    accept::LAST_CALL,
    call,
    calm::Calm,
    limits::{
        Limits, MAX_HEADER_LIST_BYTES, MAX_RESETS_UNSEEN, MAX_RULES_BROKEN, MAX_SEND_BYTES, Windows,
    },
    ongoing::Watched,
    peer::PeerInfo,
    permits::{Crowd, Permit},
    record::Record,
    server::Shared,
    stall::Patience,
};
use crate::{
    audit,
    rpc::{reason::Reason, status::ApiError},
    trace,
};

/// Serves one connection to its end.
pub(super) async fn serve<IO>(io: IO, peer: PeerInfo, shared: Arc<Shared>, permit: Permit)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let crowd = match peer {
        PeerInfo::Device { .. } => Crowd::Devices,
        PeerInfo::Unix { .. } | PeerInfo::Plain { .. } | PeerInfo::Tls { .. } => Crowd::Listen,
    };
    let grant = shared.patience.budget.connection(crowd);
    tracing::debug!(%peer, windows = ?grant.windows, "connected");
    let expired = CancellationToken::new();
    let service = service_fn(|mut request: Request<Incoming>| {
        let refused = peer.has_expired(SystemTime::now()).then(|| {
            expired.cancel();
            refuse_expired(&peer, &shared)
        });
        request.extensions_mut().insert(peer.clone());
        let keeper = shared.keeper.clone();
        let routes = shared.routes.clone();
        let max_message_bytes = shared.limits.max_message_bytes;
        let patience = shared.patience.clone();
        let audit = shared.audit.clone();
        let path = request.uri().path();
        let counted = shared.metrics.call(path);
        let follow = Arc::clone(&shared.follow);
        let call = trace::Call::begin(request.headers(), path, follow);
        let id = call.request().as_str();
        let caller = audit::Call::new(audit, request.extensions(), path, id);
        // A call is large, and would be moved about.
        let served = Box::pin(async move {
            let answer = async {
                match refused {
                    Some(error) => error.into_response(),
                    None => {
                        call::answer(keeper, routes, max_message_bytes, patience, request).await
                    }
                }
            };
            let response = audit::within(caller.clone(), answer).await;
            counted.watch(audit::watched(caller, response))
        });
        async move { Ok::<_, Infallible>(trace::serve(call, served).await) }
    });
    let calls = Calls::new(&shared, crowd);
    let count = calls.count.subscribe();
    let http2 = http2(&shared.limits, grant.windows, calls);
    let io = Calm::new(io, peer.clone(), Arc::clone(&shared.patience.trouble));
    let mut connection = pin!(http2.serve_connection(TokioIo::new(io), service));
    let ended = tokio::select! {
        biased;
        () = shared.kill.cancelled() => return,
        ended = connection.as_mut() => Some(ended),
        () = last_call(&shared.drain, count.clone()) => None,
        () = expired.cancelled() => None,
        () = without_calls(count.clone(), shared.limits.idle_timeout) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            // GOAWAY; calls in flight finish. What the peer does not take of their answers is not waited for.
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                () = shared.kill.cancelled() => return,
                ended = connection => ended,
                () = without_calls(count, shared.limits.stall_timeout) => Ok(()),
            }
        }
    };
    match ended {
        Ok(()) => tracing::debug!(%peer, "disconnected"),
        // A peer's doing; it is told by HTTP/2 itself.
        Err(error) => {
            tracing::debug!(%peer, %error, "connection failed");
            if is_flood(&error) {
                shared.patience.trouble.flooded(&peer);
            }
        }
    }
    drop((permit, grant));
}

/// Returns when the server drains; to a peer that has not called yet its first call is still due, for [`LAST_CALL`].
async fn last_call(drain: &CancellationToken, mut count: watch::Receiver<usize>) {
    drain.cancelled().await;
    drop(tokio::time::timeout(LAST_CALL, count.changed()).await);
}

/// The answer to a call of a client whose certificate has expired since it connected. Its connection is closed too; calls of one message and one
/// answer that began before go on, and streams are ended by the gate.
fn refuse_expired(peer: &PeerInfo, shared: &Shared) -> ApiError {
    if let Some(expired) = shared.patience.trouble.expired.one_more() {
        tracing::warn!(
            %peer,
            expired,
            "calls are refused because their client's certificate has expired since it connected"
        );
    }
    ApiError::new(
        Reason::Unauthenticated,
        "the client's certificate has expired since it connected; nothing was done, connect again with a valid one",
    )
}

/// Returns when there was no call for `time`.
async fn without_calls(mut count: watch::Receiver<usize>, time: Duration) {
    loop {
        // The sender is gone only when the connection is, and then nobody waits here.
        if count.wait_for(|count| *count == 0).await.is_err() {
            return;
        }
        count.mark_unchanged();
        tokio::select! {
            biased;
            changed = count.changed() => drop(changed),
            () = tokio::time::sleep(time) => return,
        }
    }
}

/// Whether h2 ended the connection because its peer made too much work.
fn is_flood(error: &hyper::Error) -> bool {
    let h2 = error
        .source()
        .and_then(|source| source.downcast_ref::<h2::Error>());
    h2.is_some_and(|h2| h2.is_library() && h2.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM))
}

fn http2(limits: &Limits, windows: Windows, calls: Calls) -> http2::Builder<Calls> {
    let mut http2 = http2::Builder::new(calls);
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams_per_connection)
        .initial_stream_window_size(windows.stream)
        .initial_connection_window_size(windows.connection)
        .max_frame_size(windows.frame)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .max_send_buf_size(MAX_SEND_BYTES)
        .max_pending_accept_reset_streams(MAX_RESETS_UNSEEN)
        .max_local_error_reset_streams(MAX_RULES_BROKEN)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout);
    http2
}

/// Starts the calls of one connection where `Server::serve` waits for them, and watches them.
#[derive(Debug, Clone)]
struct Calls {
    tasks: TaskTracker,
    patience: Patience,
    record: Record,
    count: Arc<watch::Sender<usize>>,
}

impl Calls {
    fn new(shared: &Shared, crowd: Crowd) -> Self {
        Self {
            tasks: shared.tasks.clone(),
            patience: shared.patience.clone(),
            record: Record::new(crowd),
            count: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl<F> Executor<F> for Calls
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, call: F) {
        let (record, count) = (self.record.clone(), Arc::clone(&self.count));
        self.tasks
            .spawn(Watched::new(call, record, count, self.patience.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_has_not_called_yet_has_a_moment_more() {
        let (drain, count) = (CancellationToken::new(), watch::Sender::new(0));
        let silent = tokio::spawn({
            let (drain, count) = (drain.clone(), count.subscribe());
            async move { last_call(&drain, count).await }
        });
        let begin = tokio::time::Instant::now();
        drain.cancel();
        silent.await.unwrap();
        assert_eq!(begin.elapsed(), LAST_CALL);

        let begin = tokio::time::Instant::now();
        let called = count.subscribe();
        count.send_replace(1);
        last_call(&drain, called).await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}
