//! Listening sockets that this process was given, bound by somebody else.
//!
//! **Invariant:** what the file system has of them is not ours: it is neither removed nor opened to anybody.

use std::{
    io,
    net::TcpListener as StdTcpListener,
    os::{fd::OwnedFd, unix::net::UnixListener as StdUnixListener},
    path::PathBuf,
};

use rustix::net::{AddressFamily, sockopt::socket_domain};
use tokio::net::{TcpListener, UnixListener};

use super::listen::Listen;

/// A listener that somebody else bound.
#[derive(Debug)]
pub(super) enum Given {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Given {
    /// Takes a socket that listens, and tells its address. Must be called within a tokio runtime.
    pub(super) fn of(socket: OwnedFd) -> io::Result<(Self, Listen)> {
        // Which other processes that have it share, and which each of them wants.
        rustix::io::ioctl_fionbio(&socket, true)?;
        if socket_domain(&socket)? == AddressFamily::UNIX {
            let listener = UnixListener::from_std(StdUnixListener::from(socket))?;
            let address = listener.local_addr()?;
            let path = address.as_pathname().map(PathBuf::from);
            // One without a file has an address that nobody can write in a list.
            let path = path.unwrap_or_else(|| PathBuf::from("/"));
            Ok((Self::Unix(listener), Listen::Unix(path)))
        } else {
            let listener = TcpListener::from_std(StdTcpListener::from(socket))?;
            let address = listener.local_addr()?;
            Ok((Self::Tcp(listener), Listen::Tcp(address)))
        }
    }
}
