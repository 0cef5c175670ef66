//! A connection whose peer has to keep calm: what it sends beside calls and messages is counted, and too much of it ends the connection.
//!
//! h2 bounds what such frames cost in memory, but answers PING and SETTINGS, and takes calls that are reset at once, for as long as they come; a
//! processor would do nothing else. So frames cost an allowance, which time gives back, and which everything gives back that the daemon answers: a
//! client acknowledges what it gets (WINDOW_UPDATE), measures by it (PING; grpc-go sends one for every round trip in which data comes,
//! `bdpEstimator.add()`, internal/transport/bdp_estimator.go), and may then have had enough (RST_STREAM).
//!
//! **Invariant:** no byte is changed; a connection that ends here is told why, if it takes what it is told at once.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{
    frames::{DATA, Frames, HEADERS, Head, RESET},
    peer::PeerInfo,
    tally::Trouble,
};

/// Frames that may come without any that is answered.
const ALLOWANCE: u64 = 1 << 14;

/// One more with each such time.
const ONE_MORE: Duration = Duration::from_millis(1);

/// What a reset costs. The call before it was begun, passed on and taken back.
const RESET_COST: u64 = 8;

/// What an answer gives back: it may be acknowledged for its call and its connection, measured, and reset.
const ANSWERED: u64 = 3 + RESET_COST;

/// The last frame to a peer: its type, and "asked too much" (RFC 9113, 6.8 and 7).
const GOAWAY: u8 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// A call that is reset with this code broke a rule of HTTP/2 (RFC 9113, 7), or had more headers than may be: h2 answers that 431, and resets what is
/// still to come (`recv_headers()`, h2/src/proto/streams/streams.rs).
const PROTOCOL_ERROR: u32 = 1;

/// A connection in which frames are counted.
#[derive(Debug)]
pub(super) struct Calm<IO> {
    io: IO,
    peer: PeerInfo,
    trouble: Arc<Trouble>,
    heard: Frames,
    said: Frames,
    purse: Purse,
    /// The latest call of the peer.
    last: u32,
    /// The peer was told to go.
    over: bool,
}

/// What is left of the allowance.
#[derive(Debug)]
struct Purse {
    left: u64,
    since: Instant,
}

impl Purse {
    fn full() -> Self {
        Self {
            left: ALLOWANCE,
            since: Instant::now(),
        }
    }

    fn give(&mut self, frames: u64) {
        self.left = self.left.saturating_add(frames).min(ALLOWANCE);
    }

    /// Whether there is enough. The time is looked at only where there is not.
    fn take(&mut self, frames: u64) -> bool {
        if self.left < frames {
            let now = Instant::now();
            let passed = now.duration_since(self.since).as_millis() / ONE_MORE.as_millis();
            self.give(u64::try_from(passed).unwrap_or(u64::MAX));
            self.since = now;
        }
        let enough = self.left >= frames;
        self.left = self.left.saturating_sub(frames);
        enough
    }
}

impl<IO> Calm<IO> {
    /// Counts what goes through `io`, from its first byte.
    pub(super) fn new(io: IO, peer: PeerInfo, trouble: Arc<Trouble>) -> Self {
        Self {
            io,
            peer,
            trouble,
            heard: Frames::from_client(),
            said: Frames::from_server(),
            purse: Purse::full(),
            last: 0,
            over: false,
        }
    }

    /// Looks at what the peer sent; false if it was too much.
    fn hear(&mut self, bytes: &[u8]) -> bool {
        let Self {
            heard, purse, last, ..
        } = self;
        let mut calm = true;
        heard.look(bytes, |head| {
            if head.kind == HEADERS {
                *last = head.stream.max(*last);
            }
            calm &= purse.take(cost(head));
        });
        calm
    }

    /// Looks at what the peer was sent.
    fn say(&mut self, bytes: &[u8]) {
        let Self {
            said,
            purse,
            trouble,
            peer,
            ..
        } = self;
        said.look(bytes, |head| match head.kind {
            HEADERS | DATA => purse.give(ANSWERED),
            RESET if head.code == Some(PROTOCOL_ERROR) => {
                if let Some(broken) = trouble.broken.one_more() {
                    tracing::warn!(
                        %peer,
                        broken,
                        "requests are refused because their headers are too large or break a rule of HTTP/2"
                    );
                }
            }
            _ => {}
        });
    }

    fn goodbye(&self) -> [u8; 17] {
        let mut frame = [0; 17];
        frame[2] = 8;
        frame[3] = GOAWAY;
        frame[9..13].copy_from_slice(&self.last.to_be_bytes());
        frame[13..].copy_from_slice(&ENHANCE_YOUR_CALM.to_be_bytes());
        frame
    }
}

impl<IO: AsyncWrite + Unpin> Calm<IO> {
    /// Tells the peer to go, and counts it.
    fn end(&mut self, cx: &mut Context<'_>) {
        self.over = true;
        self.trouble.flooded(&self.peer);
        if self.said.is_between() {
            let goodbye = self.goodbye();
            // Whoever does not take it at once is not waited for.
            let _written = Pin::new(&mut self.io).poll_write(cx, &goodbye);
            let _flushed = Pin::new(&mut self.io).poll_flush(cx);
        }
    }
}

/// What a frame takes of the allowance. Calls and messages have bounds of their own.
fn cost(head: Head) -> u64 {
    match head.kind {
        HEADERS => 0,
        DATA if head.length > 0 => 0,
        RESET => RESET_COST,
        _ => 1,
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Calm<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if !self.over {
            let read = Pin::new(&mut self.io).poll_read(cx, buf);
            if !matches!(read, Poll::Ready(Ok(()))) || self.hear(&buf.filled()[before..]) {
                return read;
            }
            buf.set_filled(before);
            self.end(cx);
        }
        Poll::Ready(Err(io::Error::other("a flood of frames")))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Calm<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.as_mut()
            .poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.over {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, parts);
        if let Poll::Ready(Ok(mut left)) = written {
            for part in parts {
                let step = left.min(part.len());
                self.say(&part[..step]);
                left -= step;
            }
        }
        written
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, 0, 0, 0, 0, 9], payload].concat()
    }

    fn calm(ours: DuplexStream) -> Calm<DuplexStream> {
        let peer = PeerInfo::Unix {
            uid: 1,
            gid: 1,
            pid: None,
        };
        Calm::new(ours, peer, Arc::default())
    }

    /// Sends `what` so many times, and tells whether all of it is read.
    async fn is_heard(
        calm: &mut Calm<DuplexStream>,
        peer: &mut DuplexStream,
        what: &[u8],
        times: u64,
    ) -> bool {
        let mut buffer = vec![0; what.len()];
        for _ in 0..times {
            peer.write_all(what).await.unwrap();
            if calm.read_exact(&mut buffer).await.is_err() {
                return false;
            }
        }
        true
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_frames_that_ask_for_nothing_end_the_connection() {
        let (ours, mut peer) = duplex(1 << 10);
        let mut calm = calm(ours);
        assert!(is_heard(&mut calm, &mut peer, &[b'x'; 24], 1).await);
        assert!(is_heard(&mut calm, &mut peer, &frame(HEADERS, &[1]), 2 * ALLOWANCE).await);
        assert!(is_heard(&mut calm, &mut peer, &frame(DATA, &[1]), 2 * ALLOWANCE).await);
        let ping = frame(PING, &[7; 8]);
        assert!(is_heard(&mut calm, &mut peer, &ping, ALLOWANCE).await);
        // Time gives back.
        tokio::time::advance(ONE_MORE * 10).await;
        assert!(is_heard(&mut calm, &mut peer, &ping, 10).await);
        // Answers do.
        calm.write_all(&frame(DATA, &[1])).await.unwrap();
        assert!(is_heard(&mut calm, &mut peer, &ping, ANSWERED).await);
        assert!(!is_heard(&mut calm, &mut peer, &ping, 1).await);
        calm.write_all(&ping).await.unwrap_err();
        drop(calm);
        let mut told = Vec::new();
        peer.read_to_end(&mut told).await.unwrap();
        assert_eq!(
            told[10..],
            [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 11]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn resets_cost_more_and_nothing_is_said_within_a_frame() {
        let (ours, mut peer) = duplex(1 << 10);
        let mut calm = calm(ours);
        calm.write_all(&frame(DATA, &[1, 2])[..10]).await.unwrap();
        assert!(is_heard(&mut calm, &mut peer, &[b'x'; 24], 1).await);
        let reset = frame(RESET, &[0, 0, 0, 8]);
        let times = (ALLOWANCE + ANSWERED) / RESET_COST;
        assert!(!is_heard(&mut calm, &mut peer, &reset, times + 1).await);
        drop(calm);
        let mut told = Vec::new();
        peer.read_to_end(&mut told).await.unwrap();
        assert_eq!(told.len(), 10);
    }

    #[tokio::test]
    async fn requests_that_http2_refuses_are_counted() {
        let (ours, _peer) = duplex(1 << 10);
        let mut calm = calm(ours);
        for code in [1, 8, 1] {
            calm.write_all(&frame(RESET, &[0, 0, 0, code]))
                .await
                .unwrap();
        }
        assert_eq!(calm.trouble.broken.count(), 2);
    }
}
