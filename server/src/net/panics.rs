//! A defect in a handler, kept to the call that met it.
//!
//! Without this, hyper's task would end and the peer would see the stream reset, without a reason.
//!
//! **Invariant:** a handler or a response body that has panicked is never polled again.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame};
use tonic::{Status, body::Body};

use crate::{
    logging::panic_message,
    rpc::{reason::Reason, status::ApiError},
};

/// Runs `call`; if it or the body of its answer panics, that becomes INTERNAL_ERROR.
pub(super) async fn isolate(
    path: &str,
    call: impl Future<Output = Response<Body>>,
) -> Response<Body> {
    let mut call = pin!(call);
    // AssertUnwindSafe: what calls share are mailboxes, counters and std locks, which poison themselves; none is left
    // half-changed by unwinding. The future itself is not polled again.
    let outcome = poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(response)) => Poll::Ready(Ok(response)),
            Err(payload) => Poll::Ready(Err(payload)),
        },
    );
    match outcome.await {
        Ok(response) if response.body().is_end_stream() => response,
        Ok(response) => response.map(|inner| {
            Body::new(Isolated {
                path: path.to_owned(),
                inner: Some(inner),
            })
        }),
        Err(payload) => defect(path, payload.as_ref()).into_response(),
    }
}

fn defect(path: &str, payload: &(dyn Any + Send)) -> ApiError {
    let panic = panic_message(payload);
    tracing::error!(path, panic, "a call met a defect of the daemon");
    let text = "a defect of the daemon ended this call; other calls go on, and the daemon's log says where it is";
    ApiError::new(Reason::InternalError, text)
}

/// A response body that turns a panic into trailers. Empty once it has ended.
struct Isolated {
    path: String,
    inner: Option<Body>,
}

impl HttpBody for Isolated {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        match catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll_frame(cx))) {
            Ok(frame) => {
                let frame = ready!(frame);
                if frame.is_none() {
                    self.inner = None;
                }
                Poll::Ready(frame)
            }
            Err(payload) => {
                self.inner = None;
                let trailers = defect(&self.path, payload.as_ref()).into_trailers();
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}
