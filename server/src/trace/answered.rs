//! The end of a call: its answer passes here last, and one line says how it went.
//!
//! What succeeds is said at `debug`. What is refused, and what would change something and was given up by its caller, is said at `info`, what failed
//! here at `warn`; all as far as [`Said`](super::Said) has room, and otherwise at `debug`.
//!
//! **Invariant:** an answer passes as it is, but for the call's id in its headers.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::{Code, Status, body::Body};
use tonic_types::StatusExt as _;

use super::{Call, HEADER};

/// Runs all of a call's work, and says how it ended when its answer has passed.
pub async fn serve(call: Call, work: impl Future<Output = Response<Body>>) -> Response<Body> {
    let mut end = End {
        call: call.clone(),
        told: false,
    };
    let mut response = call.within(work).await;
    if let Some(id) = call.request().header() {
        response.headers_mut().insert(HEADER, id);
    }
    if response.headers().contains_key(Status::GRPC_STATUS) {
        end.look(response.headers());
        response
    } else if response.body().is_end_stream() {
        response
    } else {
        response.map(|inner| Body::new(Answers { inner, end }))
    }
}

/// Says once how the call ended; when dropped, that nobody waited for it.
struct End {
    call: Call,
    told: bool,
}

impl End {
    fn look(&mut self, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            self.tell(&status);
        }
    }

    fn tell(&mut self, status: &Status) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let code = status.code();
        let seconds = self.call.took().as_secs_f64();
        let _in = self.call.span().enter();
        if code == Code::Ok {
            self.call.ended(code, "");
            tracing::debug!(?code, seconds, "call ended");
            return;
        }
        // Health has no reasons of ours.
        let info = status.get_details_error_info();
        let reason = info.map(|info| info.reason).unwrap_or_default();
        self.call.ended(code, &reason);
        let ours = matches!(code, Code::Internal | Code::Unknown | Code::DataLoss);
        match (self.call.line(), ours) {
            (Some(left_out), true) => {
                tracing::warn!(?code, reason, seconds, left_out, "call failed");
            }
            (Some(left_out), false) => {
                tracing::info!(?code, reason, seconds, left_out, "call refused");
            }
            (None, _) => tracing::debug!(?code, reason, seconds, "call refused"),
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if !self.told {
            let seconds = self.call.took().as_secs_f64();
            let _in = self.call.span().enter();
            self.call.ended(Code::Cancelled, "");
            match self.call.line_if_mutating() {
                Some(left_out) => {
                    tracing::info!(seconds, left_out, "call given up by its caller");
                }
                None => tracing::debug!(seconds, "call given up by its caller"),
            }
        }
    }
}

/// A response body whose trailers are looked at.
struct Answers {
    inner: Body,
    end: End,
}

impl HttpBody for Answers {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let me = self.get_mut();
        let inner = &mut me.inner;
        let frame = ready!(me.end.call.sync(|| Pin::new(inner).poll_frame(cx)));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    me.end.look(trailers);
                }
            }
            Some(Err(status)) => me.end.tell(status),
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
