//! The caller's deadline, `grpc-timeout`: parsed strictly, and kept for the handler and for a response that has begun.
//!
//! **Invariant:** what was handed to a launch host before the deadline is not touched by it; only the waiting ends.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tonic::{Status, body::Body};

use crate::rpc::{
    reason::Reason,
    status::{ApiError, printable},
};

const HEADER: &str = "grpc-timeout";

/// When a call has to have ended, if ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    /// The deadline that the headers of a request set, counted from now.
    ///
    /// # Errors
    /// MALFORMED_REQUEST: a `grpc-timeout` that the protocol does not have, or more than one.
    pub(super) fn from_headers(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut values = headers.get_all(HEADER).iter();
        let Some(value) = values.next() else {
            return Ok(Self(None));
        };
        match (parse(value.as_bytes()), values.next()) {
            // Beyond what a clock can hold there is no deadline.
            (Some(timeout), None) => Ok(Self(Instant::now().checked_add(timeout))),
            (Some(_), Some(_)) | (None, _) => {
                let value = printable(&String::from_utf8_lossy(value.as_bytes()), 64);
                let text = format!(
                    "header {HEADER} begins with {value:?}; send one value of 1 to 8 digits and a unit of H, M, S, m, u or n"
                );
                Err(ApiError::new(Reason::MalformedRequest, text).meta("header", HEADER))
            }
        }
    }

    /// When that is.
    pub(super) fn at(self) -> Option<Instant> {
        self.0
    }

    /// Runs `call` until it ends or the deadline passes; then it is dropped, with its answer's body if there is one already.
    pub(super) async fn enforce(
        self,
        call: impl Future<Output = Response<Body>>,
    ) -> Response<Body> {
        let Some(at) = self.0 else {
            return call.await;
        };
        if at <= Instant::now() {
            // Otherwise the first poll of `call` might still hand pages to the host.
            return expired().into_response();
        }
        let outcome = timeout_at(at, call).await;
        match outcome {
            Ok(response) if response.body().is_end_stream() => response,
            Ok(response) => response.map(|inner| {
                Body::new(Expiring {
                    inner: Some(inner),
                    at: Box::pin(sleep_until(at)),
                })
            }),
            Err(_elapsed) => expired().into_response(),
        }
    }
}

/// `TimeoutValue TimeoutUnit` of gRPC over HTTP/2. Zero is taken, though the grammar says positive: grpc-java sends it.
fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(amount * 3600)),
        b'M' => Some(Duration::from_secs(amount * 60)),
        b'S' => Some(Duration::from_secs(amount)),
        b'm' => Some(Duration::from_millis(amount)),
        b'u' => Some(Duration::from_micros(amount)),
        b'n' => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

fn expired() -> ApiError {
    let text = "the call's deadline passed before its answer; what was handed to the launch host by then is completed \
                nevertheless: look it up with GetLaunch or ListInstalledPages before sending it again";
    ApiError::new(Reason::DeadlineExpired, text)
}

/// A response body that ends with DEADLINE_EXPIRED when its time is up. Empty once it has ended.
struct Expiring {
    inner: Option<Body>,
    at: Pin<Box<Sleep>>,
}

impl HttpBody for Expiring {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.inner.is_none() {
            return Poll::Ready(None);
        }
        // Looked at first: a body that always has something ready would otherwise never expire.
        if self.at.as_mut().poll(cx).is_ready() {
            self.inner = None;
            return Poll::Ready(Some(Ok(Frame::trailers(expired().into_trailers()))));
        }
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(inner).poll_frame(cx);
        let frame = ready!(frame);
        if frame.is_none() {
            self.inner = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_kept() {
        assert_eq!(parse(b"1H"), Some(Duration::from_secs(3600)));
        assert_eq!(parse(b"2M"), Some(Duration::from_secs(120)));
        assert_eq!(parse(b"3S"), Some(Duration::from_secs(3)));
        assert_eq!(parse(b"00000004m"), Some(Duration::from_millis(4)));
        assert_eq!(parse(b"5u"), Some(Duration::from_micros(5)));
        assert_eq!(parse(b"0n"), Some(Duration::ZERO));
        assert!(parse(b"99999999H").is_some());
        for bad in [
            "",
            "S",
            "1",
            "1s",
            "-1S",
            "+1S",
            " 1S",
            "1 S",
            "1.5S",
            "123456789S",
            "1SS",
            "\u{661}S",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn a_bad_or_repeated_header_is_malformed() {
        let mut headers = HeaderMap::new();
        assert_eq!(Deadline::from_headers(&headers), Ok(Deadline(None)));
        headers.append(HEADER, "1S".parse().expect("is a value"));
        assert!(
            Deadline::from_headers(&headers)
                .expect("is valid")
                .0
                .is_some()
        );
        headers.append(HEADER, "2S".parse().expect("is a value"));
        let error = Deadline::from_headers(&headers).expect_err("is refused");
        assert_eq!(error.reason(), Reason::MalformedRequest);
        headers.insert(HEADER, "soon".parse().expect("is a value"));
        let error = Deadline::from_headers(&headers).expect_err("is refused");
        assert!(error.to_string().contains("\"soon\""), "{error}");
    }
}
