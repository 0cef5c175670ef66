//! A connected `SOCK_SEQPACKET` socket.
//!
//! **Invariant:** the descriptor is close-on-exec, and a write to a dead peer is an error, never SIGPIPE.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt};
use rustix::net::{
    AddressFamily, Shutdown, SocketFlags, SocketType, connect, socket_with, socketpair,
};

use super::frame::{self, Frame, Wait};
use super::listener::unix_address;

/// One end of a connection. Any number of threads may send and receive at the same time; frames do not mix.
#[derive(Debug)]
pub struct SeqSocket {
    fd: OwnedFd,
}

/// Who was at the other end when the connection was made, as the kernel saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCred {
    /// The process id in this process's pid namespace; 0 if it has none there.
    pub pid: i32,
    /// The effective user id.
    pub uid: u32,
    /// The effective group id.
    pub gid: u32,
}

impl SeqSocket {
    /// Makes two sockets that are connected to each other.
    ///
    /// # Errors
    /// The kernel's, for example when no descriptor is left.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((one.into(), other.into()))
    }

    /// Connects to the listener at `path`. Does not wait.
    ///
    /// # Errors
    /// `InvalidInput` for a path that no socket can have, `NotFound`, `ConnectionRefused` if nobody listens any more, `WouldBlock` if the listener's
    /// backlog is full.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let address = unix_address(path)?;
        let fd = socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        // unix_stream_connect(), net/unix/af_unix.c connects at once or, where the backlog is full, sleeps without a bound: hence NONBLOCK.
        connect(&fd, &address)?;
        rustix::io::ioctl_fionbio(&fd, false)?;
        Ok(fd.into())
    }

    /// Sends one frame, and waits while the peer leaves too much unread.
    ///
    /// # Errors
    /// `InvalidInput` for an empty frame or one over the bounds, `BrokenPipe` or `ConnectionReset` when the peer is gone. Nothing was sent then.
    pub fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        frame::send(self.as_fd(), bytes, fds, Wait::Yes)
    }

    /// Bounds how long [`Self::send`] waits for the peer; then it fails with `WouldBlock`, and nothing was sent.
    ///
    /// # Errors
    /// The kernel's; none is known for a connected socket.
    pub fn set_send_timeout(&self, timeout: Duration) -> io::Result<()> {
        Ok(rustix::net::sockopt::set_socket_timeout(
            &self.fd,
            rustix::net::sockopt::Timeout::Send,
            Some(timeout),
        )?)
    }

    /// Sends one frame, or fails with `WouldBlock` when the peer leaves too much unread.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn try_send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        frame::try_send(self.as_fd(), bytes, fds)
    }

    /// Waits for one frame. `None` is the end of the connection; every frame that the peer had sent comes before it.
    ///
    /// # Errors
    /// `InvalidData` for a frame over the bounds: it and its descriptors are gone, and the connection should end.
    pub fn recv(&self) -> io::Result<Option<Frame>> {
        frame::recv(self.as_fd(), Wait::Yes)
    }

    /// Takes one frame, or fails with `WouldBlock` when there is none.
    ///
    /// # Errors
    /// As [`Self::recv`].
    pub fn try_recv(&self) -> io::Result<Option<Frame>> {
        frame::try_recv(self.as_fd())
    }

    /// Tells who made the other end: who connected, who called `listen`, or who made the pair.
    ///
    /// # Errors
    /// The kernel's; none is known for a connected socket.
    pub fn peer_cred(&self) -> io::Result<PeerCred> {
        let cred = getsockopt(&self.fd, sockopt::PeerCredentials)?;
        Ok(PeerCred {
            pid: cred.pid(),
            uid: cred.uid(),
            gid: cred.gid(),
        })
    }

    /// From now on each frame that arrives says which process sent it ([`Frame::sender`]): the kernel fills that in (`SO_PASSCRED`), so that
    /// a process cannot pass for another, as who made a listening socket says nothing of who answers on it.
    ///
    /// # Errors
    /// The kernel's; none is known for a connected socket.
    pub fn ask_senders(&self) -> io::Result<()> {
        Ok(rustix::net::sockopt::set_socket_passcred(&self.fd, true)?)
    }

    /// Ends both directions: a thread that waits in [`Self::recv`] gets `None`, and the peer reads what is left and then the end.
    ///
    /// # Errors
    /// The kernel's; none is known for a connected socket.
    pub fn shutdown(&self) -> io::Result<()> {
        shutdown(self.as_fd())
    }
}

/// As [`SeqSocket::shutdown`], on a borrowed socket.
///
/// # Errors
/// The kernel's; none is known for a connected socket.
pub fn shutdown(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::net::shutdown(socket, Shutdown::Both)?)
}

impl From<OwnedFd> for SeqSocket {
    /// Takes a descriptor as it is; one that is no `SOCK_SEQPACKET` socket fails at its first use.
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl From<SeqSocket> for OwnedFd {
    fn from(socket: SeqSocket) -> Self {
        socket.fd
    }
}

impl AsFd for SeqSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
