//! The outer form of a request: length-prefixed messages (gRPC over HTTP/2), checked as the bytes come in.
//!
//! tonic would report the same faults in words of its own and without a reason, and would silently drop a second message
//! where a method takes one.
//!
//! **Invariant:** bytes pass unchanged and uncopied, or the request fails before the handler has seen a whole message too many.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame};
use tonic::codegen::StdError;

use super::tally::Trouble;
use crate::rpc::{reason::Reason, status::ApiError};

/// One byte of flags and four of length.
const PREFIX_BYTES: usize = 5;

/// A request body that fails where its framing does.
#[derive(Debug)]
pub(super) struct Framed<B> {
    inner: B,
    trouble: Arc<Trouble>,
    check: Check,
    done: bool,
}

impl<B> Framed<B> {
    /// Checks `inner`: messages of at most `max_message_bytes`, and only one if `single`. Faults are counted in `trouble`.
    pub(super) fn new(
        inner: B,
        max_message_bytes: usize,
        single: bool,
        trouble: Arc<Trouble>,
    ) -> Self {
        Self {
            inner,
            trouble,
            check: Check {
                max_message_bytes,
                single,
                messages: 0,
                prefix: Vec::with_capacity(PREFIX_BYTES),
                length: 0,
                left: 0,
            },
            done: false,
        }
    }

    /// What is checked.
    #[cfg(test)]
    pub(super) fn body_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    /// Bytes of a message that has begun and is not whole, its prefix included.
    pub(super) fn unfinished(&self) -> usize {
        self.check.unfinished()
    }

    /// Whether a message has begun and is not whole.
    pub(super) fn is_within_message(&self) -> bool {
        self.check.unfinished() > 0
    }
}

impl<B> Body for Framed<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<StdError>,
{
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(Ok(frame)) => Some(frame),
            Some(Err(error)) => {
                // A stream handler must not take this for the end of the stream, as tonic would have it for a cancelled one.
                self.done = true;
                let text = format!("the request broke off: {}", error.into());
                return Poll::Ready(Some(Err(malformed(&text).into_body_error())));
            }
            None => None,
        };
        let verdict = match frame.as_ref().map(Frame::data_ref) {
            Some(Some(data)) => self.check.data(data.clone()),
            Some(None) | None => {
                self.done = true;
                self.check.end()
            }
        };
        match verdict {
            Ok(()) => Poll::Ready(frame.map(Ok)),
            Err(error) => {
                self.done = true;
                self.trouble.misframed(error.message());
                Poll::Ready(Some(Err(error.into_body_error())))
            }
        }
    }
}

/// Where in the sequence of messages the bytes are.
#[derive(Debug)]
struct Check {
    max_message_bytes: usize,
    single: bool,
    messages: u64,
    /// The part of a message's prefix that has come.
    prefix: Vec<u8>,
    /// Bytes of the message.
    length: usize,
    /// Those of them that have not come yet.
    left: usize,
}

impl Check {
    fn data(&mut self, mut data: Bytes) -> Result<(), ApiError> {
        while data.has_remaining() {
            if self.left > 0 {
                let step = self.left.min(data.len());
                data.advance(step);
                self.left -= step;
                continue;
            }
            if self.single && self.messages > 0 {
                return Err(malformed(
                    "more than one message, where the method takes one",
                ));
            }
            let step = (PREFIX_BYTES - self.prefix.len()).min(data.len());
            self.prefix.extend_from_slice(&data.split_to(step));
            if let [flags, length @ ..] = self.prefix.as_slice()
                && let Ok(length) = <[u8; 4]>::try_from(length)
            {
                self.length = self.begin(*flags, u32::from_be_bytes(length))?;
                self.left = self.length;
                self.prefix.clear();
                self.messages += 1;
            }
        }
        Ok(())
    }

    /// The length of the message that begins.
    fn begin(&self, flags: u8, length: u32) -> Result<usize, ApiError> {
        if flags != 0 {
            let text = format!("a message with flags {flags:#x}; compression is not supported");
            return Err(malformed(&text));
        }
        match usize::try_from(length) {
            Ok(length) if length <= self.max_message_bytes => Ok(length),
            Ok(_) | Err(_) => Err(too_large(u64::from(length), self.max_message_bytes)),
        }
    }

    fn unfinished(&self) -> usize {
        if self.left > 0 {
            PREFIX_BYTES + self.length - self.left
        } else {
            self.prefix.len()
        }
    }

    fn end(&self) -> Result<(), ApiError> {
        if self.left > 0 {
            let text = format!(
                "the request ends {} bytes before its message does",
                self.left
            );
            Err(malformed(&text))
        } else if !self.prefix.is_empty() {
            Err(malformed("the request ends within the prefix of a message"))
        } else if self.single && self.messages == 0 {
            Err(malformed("the request has no message"))
        } else {
            Ok(())
        }
    }
}

fn malformed(text: &str) -> ApiError {
    ApiError::new(Reason::MalformedRequest, text)
}

fn too_large(length: u64, limit: usize) -> ApiError {
    let text = format!(
        "a message of {length} bytes; the limit is {limit}, as GetNodeInfo says; send the pages in several calls"
    );
    ApiError::new(Reason::MessageTooLarge, text)
        .meta("length", length)
        .meta("limit", limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(max_message_bytes: usize, single: bool, parts: &[&[u8]]) -> Result<(), Reason> {
        let mut check = Framed::new((), max_message_bytes, single, Arc::default()).check;
        let mut run = || {
            for part in parts {
                check.data(Bytes::copy_from_slice(part))?;
            }
            check.end()
        };
        run().map_err(|error: ApiError| error.reason())
    }

    #[test]
    fn messages_pass_however_they_are_cut() {
        let two = [0, 0, 0, 0, 3, 1, 2, 3, 0, 0, 0, 0, 0];
        for cut in 0..two.len() {
            let (a, b) = two.split_at(cut);
            assert_eq!(check(3, false, &[a, b]), Ok(()), "cut at {cut}");
        }
        assert_eq!(check(0, true, &[&[0, 0, 0, 0, 0]]), Ok(()));
        assert_eq!(check(0, false, &[]), Ok(()));
    }

    #[test]
    fn faults_have_their_reason() {
        let malformed = Err(Reason::MalformedRequest);
        assert_eq!(check(3, true, &[]), malformed);
        assert_eq!(check(3, true, &[&[0, 0, 0, 0, 0, 0]]), malformed);
        assert_eq!(check(3, true, &[&[1, 0, 0, 0, 0]]), malformed);
        assert_eq!(check(3, true, &[&[255, 0, 0, 0, 0]]), malformed);
        assert_eq!(check(3, true, &[&[0, 0, 0]]), malformed);
        assert_eq!(check(3, true, &[&[0, 0, 0, 0, 3, 1]]), malformed);
        assert_eq!(
            check(3, true, &[&[0, 0, 0, 0, 4]]),
            Err(Reason::MessageTooLarge)
        );
        assert_eq!(
            check(3, false, &[&[0, 255, 255, 255, 255]]),
            Err(Reason::MessageTooLarge)
        );
    }
}
