//! Unix sockets that exist in the file system only while they are served, and that only those may connect to who are meant to.
//!
//! Beside `PATH` lies `PATH.lock`, locked for as long as the socket is served. It tells a dead daemon's socket from a living
//! one's without a race between two daemons that start at once; the kernel drops the lock with the process. The lock file
//! itself stays: removing it would bring the race back.
//!
//! **Invariant:** never removes what is not a socket of ours, nor a socket that somebody serves; no socket is open to more than it is meant for, not for a moment.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::{
        fd::AsRawFd,
        unix::{
            fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt as _, chown},
            net::UnixListener as StdUnixListener,
        },
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::{
        socket::{
            AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
        },
        stat::{Mode, fchmod},
    },
    unistd::geteuid,
};
use tokio::net::UnixListener;

/// Connections that may wait to be accepted; the kernel caps it further (net.core.somaxconn).
const BACKLOG: i32 = 1024;

/// The mode with which a socket is made.
const PRIVATE: u32 = 0o600;

/// Why a Unix socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum UnixError {
    /// Somebody serves it.
    #[error("another process serves on unix:{}; stop it, or name another place (--listen, device_dir)", .0.display())]
    InUse(PathBuf),
    /// There is something else.
    #[error("{} exists and is not a socket; move it away, or name another place (--listen, device_dir)", .0.display())]
    Foreign(PathBuf),
    /// There is a socket that another user made.
    #[error("{} is a socket of user {uid}; move it away, or name another place (--listen, device_dir)", path.display())]
    Owner {
        /// Which.
        path: PathBuf,
        /// Whose.
        uid: u32,
    },
    /// The file beside it, by which daemons tell whether it is served, is something else.
    #[error("{} is not a regular file of this user; move it away, or name another place (--listen, device_dir)", .0.display())]
    Lock(PathBuf),
    /// The system refused.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The presence of a served socket in the file system. Dropping it removes the socket, if it is still this one.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
    _lock: Lock,
}

/// The right to serve a socket, or several: the lock on a file that ends in `.lock`. Clones are the same, and the last one gives it up.
#[derive(Debug, Clone)]
pub struct Lock(#[expect(dead_code, reason = "held, not used")] Arc<File>);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Whoever replaced the socket meanwhile owns what is there now.
        if inode(&self.path).is_ok_and(|found| found == self.inode)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket");
        }
    }
}

/// Who may connect to Unix sockets, beside this process's own user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The mode of the socket's file; nothing beyond 0666.
    pub mode: u32,
    /// Its group; `None` for that of this process.
    pub group: Option<u32>,
}

/// Binds and listens on `path`. Must be called within a tokio runtime.
pub(super) fn serve(path: &Path, access: Access) -> Result<(UnixListener, SocketFile), UnixError> {
    serve_under(path, access, Lock::take(path)?)
}

/// The same, where the lock is another one than that beside the socket.
pub(super) fn serve_under(
    path: &Path,
    access: Access,
    lock: Lock,
) -> Result<(UnixListener, SocketFile), UnixError> {
    let failed = |doing| {
        move |source: io::Error| UnixError::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    };
    remove_stale(path)?;
    let listener = bind_private(path).map_err(|errno| failed("bind")(errno.into()))?;
    let file = SocketFile {
        path: path.to_owned(),
        inode: inode(path).map_err(failed("look at"))?,
        _lock: lock,
    };
    open_to(path, access).map_err(failed("set the mode and group of"))?;
    let listener = UnixListener::from_std(listener).map_err(failed("wait on"))?;
    Ok((listener, file))
}

impl Lock {
    /// Takes the lock on `path` with `.lock` behind it.
    ///
    /// # Errors
    /// Another process has it, or the file is not ours.
    pub fn take(path: &Path) -> Result<Self, UnixError> {
        lock(path).map(|file| Self(Arc::new(file)))
    }
}

fn lock(path: &Path) -> Result<File, UnixError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let path_of_lock = PathBuf::from(name);
    let failed = |doing, source| UnixError::Io {
        doing,
        path: path_of_lock.clone(),
        source,
    };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        // A FIFO would wait for its other end.
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(&path_of_lock)
        .map_err(|source| match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ELOOP | Errno::EISDIR | Errno::ENXIO | Errno::EACCES) => {
                UnixError::Lock(path_of_lock.clone())
            }
            Some(_) | None => failed("open", source),
        })?;
    let found = file
        .metadata()
        .map_err(|source| failed("look at", source))?;
    if !found.is_file() || found.uid() != geteuid().as_raw() {
        return Err(UnixError::Lock(path_of_lock));
    }
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(UnixError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed("lock", source)),
    }
}

/// Removes what a dead daemon left, and only that. The caller holds the lock, so no daemon of ours serves there; a connection
/// attempt tells whether another program does.
///
/// # Errors
/// There is something else, or somebody serves there.
pub fn remove_stale(path: &Path) -> Result<(), UnixError> {
    let failed = |doing, source| UnixError::Io {
        doing,
        path: path.to_owned(),
        source,
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at", error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(UnixError::Foreign(path.to_owned()));
        }
        Ok(found) if found.uid() != geteuid().as_raw() => {
            return Err(UnixError::Owner {
                path: path.to_owned(),
                uid: found.uid(),
            });
        }
        Ok(_) => {}
    }
    match probe(path) {
        Err(Errno::ECONNREFUSED) => {
            fs::remove_file(path).map_err(|error| failed("remove the stale socket", error))
        }
        Err(Errno::ENOENT) => Ok(()),
        // EAGAIN: its backlog is full. EPROTOTYPE: it is served, though not as a stream.
        Ok(()) | Err(Errno::EAGAIN | Errno::EPROTOTYPE) => Err(UnixError::InUse(path.to_owned())),
        Err(errno) => Err(failed("find out who serves", errno.into())),
    }
}

fn probe(path: &Path) -> Result<(), Errno> {
    let socket = stream_socket()?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)
}

/// The mode of the socket's own inode is what `unix_bind_bsd()`, net/unix/af_unix.c, gives the file, less the umask: so there
/// is no moment at which the path exists with a wider mode, and no need to touch the umask, which is shared by all threads.
fn bind_private(path: &Path) -> Result<StdUnixListener, Errno> {
    let socket = stream_socket()?;
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    listen(&socket, Backlog::new(BACKLOG)?)?;
    Ok(StdUnixListener::from(socket))
}

/// Lets in who is meant to: first the group, so that no other group is let in meanwhile. By a descriptor, so that it is this file and no other.
fn open_to(path: &Path, access: Access) -> io::Result<()> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_PATH | OFlag::O_NOFOLLOW).bits())
        .open(path)?;
    if !file.metadata()?.file_type().is_socket() {
        return Err(io::Error::other("somebody else took its place"));
    }
    let file = format!("/proc/self/fd/{}", file.as_raw_fd());
    if let Some(group) = access.group {
        chown(&file, None, Some(group))?;
    }
    if access.mode != PRIVATE {
        fs::set_permissions(&file, fs::Permissions::from_mode(access.mode))?;
    }
    Ok(())
}

fn stream_socket() -> Result<std::os::fd::OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::Stream, flags, None)
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests;
