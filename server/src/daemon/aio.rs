//! [`SeqSocket`] for tasks.
//!
//! tokio's `AsyncFd` can be made only with `unsafe` since 1.54, so the descriptor is registered as what tokio registers safely, a `UnixStream`. Nothing of the
//! stream is used but readiness; frames go through [`wire::try_send`] and [`wire::try_recv`].
//!
//! **Invariant:** a call that is dropped while it waits has sent or taken nothing.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use stagepages_host::wire::{self, Frame, PeerCred, SeqSocket};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// A connected `SOCK_SEQPACKET` socket. Any number of tasks may send and receive at the same time; frames do not mix.
#[derive(Debug)]
pub struct AsyncSeq {
    ready: UnixStream,
    peer: PeerCred,
}

impl AsyncSeq {
    /// Takes a socket over. MUST be called in a tokio runtime with I/O enabled.
    ///
    /// # Errors
    /// The kernel's, for example when `socket` is no socket.
    pub fn new(socket: SeqSocket) -> io::Result<Self> {
        let peer = socket.peer_cred()?;
        let stream = std::os::unix::net::UnixStream::from(OwnedFd::from(socket));
        stream.set_nonblocking(true)?;
        Ok(Self {
            ready: UnixStream::from_std(stream)?,
            peer,
        })
    }

    /// Sends one frame, and waits while the peer leaves too much unread.
    ///
    /// # Errors
    /// As [`SeqSocket::send`].
    pub async fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.ready
            .async_io(Interest::WRITABLE, || {
                wire::try_send(self.ready.as_fd(), bytes, fds)
            })
            .await
    }

    /// Waits for one frame. `None` is the end of the connection; every frame that the peer had sent comes before it.
    ///
    /// # Errors
    /// As [`SeqSocket::recv`].
    pub async fn recv(&self) -> io::Result<Option<Frame>> {
        self.ready
            .async_io(Interest::READABLE, || wire::try_recv(self.ready.as_fd()))
            .await
    }

    /// Who made the other end; see [`SeqSocket::peer_cred`].
    #[must_use]
    pub fn peer_cred(&self) -> PeerCred {
        self.peer
    }

    /// Ends both directions: a task that waits in [`Self::recv`] gets `None`.
    ///
    /// # Errors
    /// The kernel's; none is known for a connected socket.
    pub fn shutdown(&self) -> io::Result<()> {
        wire::shutdown(self.ready.as_fd())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn pair() -> (AsyncSeq, SeqSocket) {
        let (ours, theirs) = SeqSocket::pair().unwrap();
        (AsyncSeq::new(ours).unwrap(), theirs)
    }

    #[tokio::test]
    async fn a_reader_and_a_writer_share_one_socket() {
        let (socket, peer) = pair();
        let socket = Arc::new(socket);
        let reader = tokio::spawn({
            let socket = Arc::clone(&socket);
            async move { socket.recv().await }
        });
        let null = std::fs::File::open("/dev/null").unwrap();
        socket.send(b"ping", &[null.as_fd()]).await.unwrap();
        let ping = peer.recv().unwrap().unwrap();
        assert_eq!((ping.bytes.as_slice(), ping.fds.len()), (&b"ping"[..], 1));
        peer.send(b"pong", &[]).unwrap();
        let pong = reader.await.unwrap().unwrap().unwrap();
        assert_eq!(pong.bytes, b"pong");
    }

    #[tokio::test]
    async fn a_sender_waits_for_a_reader_and_all_arrives_in_order() {
        const FRAMES: u32 = 2000;
        let (socket, peer) = pair();
        let sender = tokio::spawn(async move {
            for number in 1..=FRAMES {
                let frame = number.to_le_bytes().repeat(512);
                socket.send(&frame, &[]).await.unwrap();
            }
        });
        let other = AsyncSeq::new(peer).unwrap();
        for number in 1..=FRAMES {
            let bytes = other.recv().await.unwrap().unwrap().bytes;
            assert_eq!(bytes, number.to_le_bytes().repeat(512));
        }
        assert!(other.recv().await.unwrap().is_none());
        sender.await.unwrap();
    }

    #[tokio::test]
    async fn shutdown_ends_a_waiting_receiver() {
        let (socket, _peer) = pair();
        let (received, ended) = tokio::join!(socket.recv(), async { socket.shutdown() });
        ended.unwrap();
        assert!(received.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_receive_that_is_dropped_takes_nothing() {
        let (socket, peer) = pair();
        tokio::select! {
            biased;
            _ = socket.recv() => panic!("nothing was sent"),
            () = std::future::ready(()) => {}
        }
        peer.send(b"kept", &[]).unwrap();
        assert_eq!(socket.recv().await.unwrap().unwrap().bytes, b"kept");
    }
}
