//! A call while it goes on: what it holds, and the watch that ends it when its peer does not take what it is answered.
//!
//! hyper asks a response body for its next part only when the peer's window has let some of the last one through
//! (`PipeToSendStream::poll()`, hyper/src/proto/h2/mod.rs), so nothing inside a body can end a call whose peer gives no window.
//! Here the task of the call is watched from outside: dropping it resets the stream. A part that is let through in pieces waits
//! in h2, one for each call, until there is another; keepalive finds out whether its peer still lives.
//!
//! ```text
//!  Watched (task of the call, by connection::Calls)
//!    └─ hyper's H2Stream ─▶ call::answer ──▶ Taken(body)
//!         CALL: the state that both ends share
//! ```
//!
//! **Invariant:** an answer that the handler has not given yet is waited for without end; this is about peers only.

use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::Instant,
};
use tonic::{Status, body::Body};

use super::{
    held::Held,
    record::Record,
    stall::{Patience, Stall},
};

tokio::task_local! {
    static CALL: Arc<Ongoing>;
}

/// What the parts of a call share.
#[derive(Debug)]
pub(super) struct Ongoing {
    /// Of the call's connection.
    pub(super) record: Record,
    /// What the call holds of messages.
    pub(super) held: Arc<Held>,
    /// Room for the call itself.
    pub(super) room: OnceLock<OwnedSemaphorePermit>,
    /// Room for answers that the peer may leave untaken as long as it likes; unset for a call whose peer may not.
    pub(super) pause: OnceLock<OwnedSemaphorePermit>,
    /// When it has to have ended.
    pub(super) deadline: OnceLock<Instant>,
    /// Which part of the answer is with the peer, from 1; 0 if the handler is asked for more.
    with_peer: AtomicU64,
}

impl Ongoing {
    /// The call whose task this is.
    pub(super) fn current() -> Option<Arc<Self>> {
        CALL.try_with(Arc::clone).ok()
    }
}

/// Says that the message of the current call is consumed: its bytes are copied or dropped, so its room in the receive budget
/// is free for others. Without it, that is so when the call ends. Only for methods that take one message; for others, and
/// outside of a call's own task, nothing happens.
pub fn message_consumed() {
    if let Some(call) = Ongoing::current() {
        call.held.keep(0);
    }
}

/// When the current call has to have ended, if it has a deadline. Outside of a call's own task there is none.
pub fn deadline() -> Option<Instant> {
    Ongoing::current().and_then(|call| call.deadline.get().copied())
}

/// The task of a call.
pub(super) struct Watched<F> {
    inner: Pin<Box<F>>,
    call: Arc<Ongoing>,
    stall: Stall,
    /// The part of the answer that `stall` waits for.
    awaited: u64,
    patience: Patience,
    _counted: Counted,
}

impl<F> Watched<F> {
    /// Watches `inner`, a call on the connection that `record` and `calls` belong to.
    pub(super) fn new(
        inner: F,
        record: Record,
        calls: Arc<watch::Sender<usize>>,
        patience: Patience,
    ) -> Self {
        let call = Ongoing {
            record,
            held: Arc::default(),
            room: OnceLock::new(),
            pause: OnceLock::new(),
            deadline: OnceLock::new(),
            with_peer: AtomicU64::new(0),
        };
        Self {
            inner: Box::pin(inner),
            call: Arc::new(call),
            stall: Stall::new(patience.clone()),
            awaited: 0,
            patience,
            _counted: Counted::new(calls),
        }
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let me = &mut *self;
        if CALL
            .sync_scope(Arc::clone(&me.call), || me.inner.as_mut().poll(cx))
            .is_ready()
        {
            return Poll::Ready(());
        }
        let with_peer = me.call.with_peer.load(Ordering::Relaxed);
        if with_peer != me.awaited {
            me.awaited = with_peer;
            me.stall.clear();
        }
        if with_peer == 0 {
            return Poll::Pending;
        }
        let deadline = me.call.deadline.get().copied();
        if me.call.pause.get().is_some() {
            return me.stall.poll_deadline(deadline, cx).map(drop);
        }
        let standing = me.call.held.standing(me.call.record.standing());
        me.stall.poll(standing, deadline, cx).map(|_waited| {
            if let Some(stalled) = me.patience.trouble.stalled.one_more() {
                tracing::warn!(stalled, "calls end because their peer stalls");
            }
        })
    }
}

/// Counts a call on its connection until dropped.
#[derive(Debug)]
struct Counted(Arc<watch::Sender<usize>>);

impl Counted {
    fn new(calls: Arc<watch::Sender<usize>>) -> Self {
        calls.send_modify(|calls| *calls += 1);
        Self(calls)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|calls| *calls -= 1);
    }
}

/// Makes the watch see how the peer takes `response`.
pub(super) fn taken(call: Option<Arc<Ongoing>>, response: Response<Body>) -> Response<Body> {
    match call {
        Some(call) if !response.body().is_end_stream() => response.map(|inner| {
            Body::new(Taken {
                inner,
                call,
                parts: 0,
            })
        }),
        Some(_) | None => response,
    }
}

/// A response body that notes what is with the peer.
struct Taken {
    inner: Body,
    call: Arc<Ongoing>,
    parts: u64,
}

impl HttpBody for Taken {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        let with_peer = if frame.is_ready() {
            self.parts += 1;
            self.parts
        } else {
            0
        };
        self.call.with_peer.store(with_peer, Ordering::Relaxed);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}
