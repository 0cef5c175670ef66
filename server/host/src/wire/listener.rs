//! A listening `SOCK_SEQPACKET` socket with a name in the file system.
//!
//! **Invariant:** it never removes a file: who made the name takes it away.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::sys::stat::{Mode, fchmod};
use rustix::io::retry_on_intr;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, socket_with,
};

use super::socket::SeqSocket;

/// Connections that may wait for [`SeqListener::accept`]. A host has one daemon, and for a moment that one's successor.
const BACKLOG: i32 = 16;

/// Longest path of a socket, in bytes: `sun_path` has 108 and keeps one for its end, unix(7).
const MAX_PATH: usize = 107;

/// A socket that others connect to.
#[derive(Debug)]
pub struct SeqListener {
    fd: OwnedFd,
}

impl SeqListener {
    /// Listens at `path`, for this user only (mode 0600 from the first moment).
    ///
    /// # Errors
    /// `InvalidInput` for a path that no socket can have, `AddrInUse` if there is a file already.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let address = unix_address(path)?;
        let fd = socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        // unix_bind_bsd(), net/unix/af_unix.c gives the file the mode of the socket's own inode, less the umask. Set here, it needs no
        // change of the umask, which all threads share, and leaves no moment in which the file is open to others.
        fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR)?;
        bind(&fd, &address)?;
        listen(&fd, BACKLOG)?;
        Ok(fd.into())
    }

    /// Waits for one connection.
    ///
    /// # Errors
    /// The kernel's, for example when no descriptor is left. The listener stays usable.
    pub fn accept(&self) -> io::Result<SeqSocket> {
        let fd = retry_on_intr(|| accept_with(&self.fd, SocketFlags::CLOEXEC))?;
        Ok(fd.into())
    }
}

impl From<OwnedFd> for SeqListener {
    /// Takes a descriptor as it is; one that is no listening `SOCK_SEQPACKET` socket fails at its first use.
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl From<SeqListener> for OwnedFd {
    fn from(listener: SeqListener) -> Self {
        listener.fd
    }
}

impl AsFd for SeqListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// An empty path would be a name that the kernel picks, and one that is too long would be cut: both are refused by name.
pub(super) fn unix_address(path: &Path) -> io::Result<SocketAddrUnix> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() || bytes.len() > MAX_PATH || bytes.contains(&0) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "socket path {} is {} bytes long; it needs 1 to {MAX_PATH} bytes without a zero byte: choose a shorter directory",
                path.display(),
                bytes.len()
            ),
        ));
    }
    Ok(SocketAddrUnix::new(path)?)
}
