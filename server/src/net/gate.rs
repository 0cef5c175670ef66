//! The gate: the one place where a call is let in, and where one that goes on is ended when the policy no longer has it.
//!
//! A call of one message and one answer is looked at once. Of a stream every message is, in both directions, and one that waits for nothing is woken by
//! the policy's change. What was handed to a launch host before is completed, as after any other end of a call.
//!
//! **Invariant:** no handler sees a request, nor a message of one, that the policy does not allow at that moment.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::{
    Status,
    body::Body,
    codegen::{Service, StdError},
    service::Routes,
};

use super::{methods, peer::PeerInfo};
use crate::{
    auth::{Gatekeeper, Standing},
    rpc::{reason::Reason, status::ApiError},
};

/// Lets a call in, and notes who makes it for its handler.
pub(super) fn admit<B>(
    keeper: &Gatekeeper,
    request: &mut Request<B>,
) -> Result<Standing, ApiError> {
    let Some(peer) = request.extensions().get::<PeerInfo>() else {
        // Not reached: every connection has one.
        let text = "nothing is known of the caller";
        return Err(ApiError::new(Reason::Unauthenticated, text));
    };
    let standing = keeper.admit(peer, request.uri().path())?;
    if let Some(caller) = standing.caller() {
        let caller = caller.clone();
        request.extensions_mut().insert(caller);
    }
    Ok(standing)
}

/// Carries out a call that was let in, for as long as it may go on.
pub(super) async fn pass<B>(
    mut routes: Routes,
    standing: Standing,
    request: Request<B>,
) -> Response<Body>
where
    B: HttpBody<Data = Bytes, Error = StdError> + Unpin + Send + 'static,
{
    let response = if methods::takes_stream(request.uri().path()) {
        let own = standing.clone();
        let request = request.map(|inner| Watched {
            inner,
            standing: own,
        });
        routes.call(request).await
    } else {
        routes.call(request).await
    };
    match response {
        // A whole answer, or none but an error.
        Ok(response) if response.body().is_end_stream() => response,
        Ok(response) => response.map(|inner| Body::new(Revocable::new(inner, standing))),
        Err(never) => match never {},
    }
}

/// The messages of a stream, as long as they may come.
struct Watched<B> {
    inner: B,
    standing: Standing,
}

impl<B> HttpBody for Watched<B>
where
    B: HttpBody<Data = Bytes, Error = StdError> + Unpin,
{
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        Poll::Ready(match (frame, self.standing.check()) {
            (Some(Ok(_)), Err(error)) => Some(Err(Status::from(error).into())),
            (frame, _) => frame,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The policy's next change; it gives the standing back.
type Change = Pin<Box<dyn Future<Output = Standing> + Send>>;

/// Answers, as long as they may go.
struct Revocable {
    /// `None` once the call is over.
    inner: Option<Body>,
    change: Change,
}

impl Revocable {
    fn new(inner: Body, standing: Standing) -> Self {
        Self {
            inner: Some(inner),
            change: change(standing),
        }
    }
}

fn change(mut standing: Standing) -> Change {
    Box::pin(async move {
        standing.changed().await;
        standing
    })
}

impl HttpBody for Revocable {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let me = &mut *self;
        while let Poll::Ready(mut standing) = me.change.as_mut().poll(cx) {
            if let Err(error) = standing.check() {
                // The handler is dropped with its answers.
                me.inner = None;
                me.change = Box::pin(std::future::pending());
                return Poll::Ready(Some(Ok(Frame::trailers(error.into_trailers()))));
            }
            me.change = change(standing);
        }
        match &mut me.inner {
            Some(inner) => Pin::new(inner).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}
