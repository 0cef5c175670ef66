//! A connection's first words: HTTP/2's preface, which has to come before the connection is counted as one.
//!
//! HTTP/2 pings find out dead peers, but only once the peer has sent the preface; before it, a connection that says nothing would hold its
//! place forever. So the preface is read here, and then once more by hyper.
//!
//! **Invariant:** what was read is handed on, byte for byte.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// The client's connection preface (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection whose first bytes are read again.
#[derive(Debug)]
pub(super) struct Begun<IO> {
    io: IO,
    first: Vec<u8>,
}

impl<IO: AsyncRead + Unpin> Begun<IO> {
    /// Reads until the preface is there, or something else is, which HTTP/2 answers in its own way.
    pub(super) async fn read(mut io: IO) -> io::Result<Self> {
        let mut first = Vec::with_capacity(PREFACE.len());
        while first.len() < PREFACE.len() && PREFACE.starts_with(&first) {
            let left = PREFACE.len() - first.len();
            if (&mut io).take(left as u64).read_buf(&mut first).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Self { io, first })
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Begun<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let given = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first[..given]);
        self.first.drain(..given);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Begun<IO> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_came_first_is_read_again() {
        for (said, first) in [
            (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore"[..], 24),
            (b"GET / HTTP/1.1\r\n\r\n", 18),
            (b"PRI * HTTP/1", 12),
        ] {
            let mut begun = Begun::read(said).await.expect("has begun");
            assert_eq!(begun.first.len(), first);
            let mut heard = Vec::new();
            begun.read_to_end(&mut heard).await.expect("reads");
            assert_eq!(heard, said);
        }
        let cut = Begun::read(&b"PRI * "[..]).await;
        assert_eq!(
            cut.expect_err("has not begun").kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}
