//! A connection that has to begin speaking within a bound.
//!
//! HTTP/2 pings find out dead peers, but only once the peer has sent the connection preface; before it, a connection that says
//! nothing would hold its place forever.
//!
//! **Invariant:** once the preface has come, this is the plain connection.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// Length of the client's connection preface in bytes (RFC 9113, 3.4).
const PREFACE_BYTES: usize = 24;

/// A connection that fails with `TimedOut` if its first 24 bytes do not come in time.
#[derive(Debug)]
pub(super) struct Punctual<IO> {
    io: IO,
    awaited: Option<Awaited>,
}

#[derive(Debug)]
struct Awaited {
    bytes: usize,
    timeout: Pin<Box<Sleep>>,
}

impl<IO> Punctual<IO> {
    pub(super) fn new(io: IO, timeout: Duration) -> Self {
        Self {
            io,
            awaited: Some(Awaited {
                bytes: PREFACE_BYTES,
                timeout: Box::pin(sleep(timeout)),
            }),
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Punctual<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        let Some(awaited) = &mut self.awaited else {
            return read;
        };
        awaited.bytes = awaited.bytes.saturating_sub(buf.filled().len() - before);
        if awaited.bytes == 0 {
            self.awaited = None;
        } else if read.is_pending() && awaited.timeout.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Punctual<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
