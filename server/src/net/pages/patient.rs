//! A connection whose peer has to take what it is sent.
//!
//! **Invariant:** a peer that takes something is waited for anew; one that takes nothing for the whole time is not.

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

/// What a connection is made of.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for T {}

/// See the module.
pub(super) struct Patient<IO> {
    io: IO,
    time: Duration,
    /// Runs while the peer takes nothing.
    waits: Option<Pin<Box<Sleep>>>,
}

impl<IO: Stream> Patient<IO> {
    /// Waits for the peer so long.
    pub(super) fn new(io: IO, time: Duration) -> Self {
        Self {
            io,
            time,
            waits: None,
        }
    }

    /// Passes on what became of sending something.
    fn sent<T>(&mut self, sent: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.waits = None;
            return sent;
        }
        let time = self.time;
        let waits = self.waits.get_or_insert_with(|| Box::pin(sleep(time)));
        match waits.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<IO: Stream> AsyncRead for Patient<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<IO: Stream> AsyncWrite for Patient<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.io).poll_write(cx, buf);
        self.sent(sent, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.io).poll_flush(cx);
        self.sent(sent, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.io).poll_shutdown(cx);
        self.sent(sent, cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_takes_something_is_waited_for_and_who_takes_nothing_is_not() {
        let (ours, mut peer) = tokio::io::duplex(8);
        let mut ours = Patient::new(ours, Duration::from_secs(30));
        let slow = tokio::spawn(async move {
            let mut byte = [0];
            for _ in 0..4 {
                sleep(Duration::from_secs(20)).await;
                peer.read_exact(&mut byte).await.unwrap();
            }
            peer
        });
        ours.write_all(&[1; 12]).await.unwrap();
        let _silent = slow.await.unwrap();
        let late = ours.write_all(&[2; 9]).await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    }
}
