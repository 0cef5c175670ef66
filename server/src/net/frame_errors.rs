//! A reason for errors that do not come from this daemon's handlers but from tonic and its services.
//!
//! Handlers fail with [`ApiError`] only, so a status without details is the framework's. Faults of framing never get so far
//! (see `framing`); how tonic 0.14 reports the others is in its src/codec/decode.rs, src/codec/compression.rs and
//! src/service/router.rs, and `net/tests.rs` holds it to that.
//!
//! **Invariant:** an error that has details passes unchanged.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame};
use tonic::{Code, Status, body::Body};

use crate::rpc::{
    reason::Reason,
    status::{ApiError, printable},
};

const ACCEPT_ENCODING: &str = "grpc-accept-encoding";

/// Gives the error in `response`, if there is one, a reason; now or when its trailers come.
pub(super) fn explain(path: &str, mut response: Response<Body>) -> Response<Body> {
    if response.headers().contains_key(Status::GRPC_STATUS) {
        if let Some(error) = reason_for(path, response.headers()) {
            // By it a client learns which compressions it may use instead.
            let encodings = response.headers_mut().remove(ACCEPT_ENCODING);
            response = error.into_response();
            if let Some(encodings) = encodings {
                response.headers_mut().insert(ACCEPT_ENCODING, encodings);
            }
        }
        response
    } else if response.body().is_end_stream() {
        response
    } else {
        response.map(|inner| {
            Body::new(Explained {
                path: path.to_owned(),
                inner,
            })
        })
    }
}

/// The error that stands for the status in `headers`; none if that is no error, has details, or is a service's own answer
/// (health says NOT_FOUND for a service that it does not know, as its protocol demands).
fn reason_for(path: &str, headers: &HeaderMap) -> Option<ApiError> {
    if headers.contains_key(Status::GRPC_STATUS_DETAILS) {
        return None;
    }
    let status = Status::from_header_map(headers)?;
    let said = status.message();
    let (reason, text) = match status.code() {
        // Requests only: tonic calls a response that is too large out of range as well.
        Code::OutOfRange if said.contains("decoded message length too large") => {
            (Reason::MessageTooLarge, said.to_owned())
        }
        // What the gRPC protocol calls internal is the caller's bytes that are no message.
        Code::Internal if said.starts_with("failed to decode Protobuf message") => {
            (Reason::MalformedRequest, said.to_owned())
        }
        Code::Unimplemented if headers.contains_key(ACCEPT_ENCODING) => (
            Reason::UnsupportedOperation,
            format!("{said}; send messages uncompressed"),
        ),
        Code::Unimplemented => {
            let path = printable(path, 200);
            let text = format!("no method {path} here; server reflection lists what there is");
            (Reason::UnsupportedOperation, text)
        }
        Code::DeadlineExceeded => (Reason::DeadlineExpired, said.to_owned()),
        Code::OutOfRange | Code::Internal | Code::Unknown | Code::DataLoss => {
            tracing::error!(path, code = ?status.code(), message = said, "the gRPC framework failed");
            (
                Reason::InternalError,
                format!("the gRPC framework failed: {said}"),
            )
        }
        Code::Ok
        | Code::Cancelled
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Unavailable
        | Code::Unauthenticated => return None,
    };
    Some(ApiError::new(reason, text).meta("method", path))
}

/// A response body whose trailers are explained.
struct Explained {
    path: String,
    inner: Body,
}

impl HttpBody for Explained {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        let error = match &frame {
            Some(Ok(frame)) => frame
                .trailers_ref()
                .and_then(|trailers| reason_for(&self.path, trailers)),
            Some(Err(_)) | None => None,
        };
        Poll::Ready(match error {
            Some(error) => Some(Ok(Frame::trailers(error.into_trailers()))),
            None => frame,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}
