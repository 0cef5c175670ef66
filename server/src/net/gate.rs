//! The gate: the one place where a call is let in, and where one that goes on is ended when the policy no longer has it.
//!
//! A call of one message and one answer is looked at once. Of a stream every message is, in both directions, and one that waits for nothing is woken by
//! the policy's change, and when its client's certificate expires. What was handed to a launch host before is completed, as after any other end of a call.
//!
//! **Invariant:** no handler sees a request, nor a message of one, that the policy does not allow at that moment.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::{
    Status,
    body::Body,
    codegen::{Service, StdError},
    service::Routes,
};

use super::{methods, peer::PeerInfo};
use crate::{
    auth::{Gatekeeper, NAMED, Standing, Tenant},
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
    let standing = keeper.admit(peer, request.uri().path(), named(request.headers())?)?;
    if let Some(caller) = standing.caller() {
        let caller = caller.clone();
        request.extensions_mut().insert(caller);
    }
    Ok(standing)
}

/// The tenant that a call names.
fn named(headers: &HeaderMap) -> Result<Option<Tenant>, ApiError> {
    let malformed = |text: &str| {
        let text = format!("{NAMED}: {text}; name one tenant, or leave it out");
        ApiError::new(Reason::MalformedRequest, text)
    };
    let mut named = headers.get_all(NAMED).iter();
    let (Some(first), next) = (named.next(), named.next()) else {
        return Ok(None);
    };
    if next.is_some() {
        return Err(malformed("is there twice"));
    }
    let name = String::from_utf8_lossy(first.as_bytes());
    let tenant = name.parse::<Tenant>();
    tenant
        .map(Some)
        .map_err(|error| malformed(&error.to_string()))
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
    let is_stream = methods::is_stream(request.uri().path());
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
        // What was let in is carried out, and its answer is its caller's.
        Ok(response) if !is_stream => response,
        // None but an error.
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

/// What wakes a call that waits for nothing: the policy's next change, or the end of its certificate.
type Change = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Answers, as long as they may go.
struct Revocable {
    /// `None` once the call is over.
    inner: Option<Body>,
    standing: Standing,
    change: Change,
}

impl Revocable {
    fn new(inner: Body, standing: Standing) -> Self {
        Self {
            inner: Some(inner),
            change: change(&standing),
            standing,
        }
    }
}

fn change(standing: &Standing) -> Change {
    let mut standing = standing.clone();
    Box::pin(async move { standing.changed().await })
}

impl HttpBody for Revocable {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let me = &mut *self;
        let Some(inner) = &mut me.inner else {
            return Poll::Ready(None);
        };
        let checked = loop {
            // Before each answer, and not only when woken: a clock that is set forward wakes nobody.
            if let Err(error) = me.standing.check() {
                break Err(error);
            }
            if me.change.as_mut().poll(cx).is_pending() {
                break Ok(());
            }
            me.change = change(&me.standing);
        };
        match checked {
            Ok(()) => Pin::new(inner).poll_frame(cx),
            Err(error) => {
                // The handler is dropped with its answers.
                me.inner = None;
                me.change = Box::pin(std::future::pending());
                Poll::Ready(Some(Ok(Frame::trailers(error.into_trailers()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}
