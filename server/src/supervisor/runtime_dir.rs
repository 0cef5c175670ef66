//! The directory in which hosts are reached.
//!
//! ```text
//! <runtime_dir>/        owned by us, writable by nobody else, locked by the supervisor that lives
//!   h/                  0700
//!     <host id>.sock    0600, from before the host starts until it is reaped
//! ```
//!
//! **Invariant:** nothing but sockets of ours on which nobody listens is ever swept away, and only under the lock: where a supervisor was killed, its hosts may
//! live, and are found by their sockets.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use stagepages_host::wire::SeqSocket;

use super::id::HostId;

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeDirError {
    /// Not created or not opened; a symbolic link is not followed.
    #[error("cannot use the runtime directory {}: it must be a directory, not a link", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else's.
    #[error("the runtime directory {} belongs to user {uid}: choose one of your own", path.display())]
    Owner {
        /// Which.
        path: PathBuf,
        /// Whose.
        uid: u32,
    },
    /// Others can put files there.
    #[error("the runtime directory {} is writable by others (mode {mode:#o}): chmod go-w it", path.display())]
    Writable {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// In use.
    #[error("another supervisor runs in {}: stop it, or choose another runtime directory", path.display())]
    Locked {
        /// Which.
        path: PathBuf,
    },
    /// Too deep for a socket.
    #[error("the runtime directory {} is too long for sockets in it: use at most {max} bytes", path.display())]
    TooLong {
        /// Which.
        path: PathBuf,
        /// The longest path, in bytes.
        max: usize,
    },
    /// What an earlier supervisor left could not be removed.
    #[error("cannot clear {}", path.display())]
    Clear {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A runtime directory that is ours alone.
#[derive(Debug)]
pub(super) struct RuntimeDir {
    path: PathBuf,
    hosts: PathBuf,
    // Holds the lock; the kernel lets go of it when the last descriptor closes, however that happens.
    lock: File,
}

/// The path of a host's socket in the directory that `Welcome` names.
#[must_use]
pub fn socket_path(host_dir: &Path, id: &HostId) -> PathBuf {
    host_dir.join(format!("{id}.sock"))
}

impl RuntimeDir {
    /// Creates the directory where it is missing, checks and locks it, and removes the sockets of hosts
    /// that are gone.
    ///
    /// # Errors
    /// See [`RuntimeDirError`].
    pub(super) fn claim(path: &Path) -> Result<Self, RuntimeDirError> {
        // sun_path, less "/h/", a launch's uid with some room, and ".sock". Here and not at the first launch.
        const LONGEST: usize = 107 - 3 - 40 - 5;
        let path = std::path::absolute(path).map_err(|source| RuntimeDirError::Open {
            path: path.to_owned(),
            source,
        })?;
        if path.as_os_str().len() > LONGEST {
            return Err(RuntimeDirError::TooLong { path, max: LONGEST });
        }
        let lock = private_dir(&path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RuntimeDirError::Locked { path }),
            Err(TryLockError::Error(source)) => return Err(RuntimeDirError::Open { path, source }),
        }
        let hosts = path.join("h");
        let living = private_dir(&hosts)?
            .set_permissions(Permissions::from_mode(0o700))
            .and_then(|()| remove_dead_sockets(&hosts))
            .map_err(|source| RuntimeDirError::Clear {
                path: hosts.clone(),
                source,
            })?;
        if living > 0 {
            tracing::info!(living, "hosts of an earlier supervisor live");
        }
        Ok(Self { path, hosts, lock })
    }

    /// Goes on with a directory that this supervisor claimed before its upgrade.
    pub(super) fn resume(path: PathBuf, lock: OwnedFd) -> Self {
        Self {
            hosts: path.join("h"),
            path,
            lock: lock.into(),
        }
    }

    /// The directory itself.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What keeps others out.
    pub(super) fn lock(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }

    /// Where the hosts' sockets are.
    pub(super) fn host_dir(&self) -> &Path {
        &self.hosts
    }

    /// Where a host's socket is.
    pub(super) fn socket(&self, id: &HostId) -> PathBuf {
        socket_path(&self.hosts, id)
    }

    /// Takes a host's socket away; one that is gone is no error, and what somebody else put there stays.
    pub(super) fn remove_socket(&self, id: &HostId) {
        let path = self.socket(id);
        let removed = fs::symlink_metadata(&path).and_then(|found| {
            if !is_our_socket(&found) {
                return Err(io::Error::other("it is no socket of this user"));
            }
            fs::remove_file(&path)
        });
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "a host's socket stays behind");
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Takes everything away that [`Self::claim`] and the hosts put there, unless a host lives. The directory itself may be somebody else's mount and
    /// stays.
    pub(super) fn clear(&self) -> io::Result<()> {
        match remove_dead_sockets(&self.hosts)? {
            0 => fs::remove_dir(&self.hosts),
            living => {
                tracing::warn!(living, "hosts live on: the next supervisor finds them");
                Ok(())
            }
        }
    }
}

fn private_dir(path: &Path) -> Result<File, RuntimeDirError> {
    let open = || {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        OpenOptions::new()
            .read(true)
            .custom_flags((OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits())
            .open(path)
    };
    let found = open().and_then(|dir| Ok((dir.metadata()?, dir)));
    let (metadata, dir) = found.map_err(|source| RuntimeDirError::Open {
        path: path.to_owned(),
        source,
    })?;
    let (uid, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    if uid != geteuid().as_raw() {
        let path = path.to_owned();
        return Err(RuntimeDirError::Owner { path, uid });
    }
    if mode & 0o022 != 0 {
        let path = path.to_owned();
        return Err(RuntimeDirError::Writable { path, mode });
    }
    Ok(dir)
}

fn is_our_socket(found: &Metadata) -> bool {
    found.file_type().is_socket() && found.uid() == geteuid().as_raw()
}

/// How many sockets stay, because somebody listens.
fn remove_dead_sockets(dir: &Path) -> io::Result<usize> {
    let mut living = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !is_our_socket(&entry.metadata()?) {
            tracing::warn!(path = %entry.path().display(), "what is no socket of this user stays");
            continue;
        }
        if is_dead(&entry.path()) {
            fs::remove_file(entry.path())?;
        } else {
            living += 1;
        }
    }
    Ok(living)
}

/// Whether nobody listens: unix_find_bsd(), net/unix/af_unix.c refuses exactly then. Where it is somebody, the connection ends at once; a host takes
/// that for a daemon that left. A full backlog, or a socket of another type, is somebody too, and stays.
fn is_dead(socket: &Path) -> bool {
    match SeqSocket::connect(socket) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => true,
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
            tracing::warn!(path = %socket.display(), %error, "a socket that is no host's stays");
            false
        }
        Ok(_) | Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use stagepages_host::wire::SeqListener;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_missing_directory_is_made_private_and_a_left_socket_is_removed() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("run");
        let dir = RuntimeDir::claim(&path).unwrap();
        assert_eq!((mode(&path), mode(&path.join("h"))), (0o700, 0o700));
        let socket = dir.socket(&"a".parse().unwrap());
        drop(SeqListener::bind(&socket).unwrap());
        let file = path.join("h/kept");
        fs::write(&file, "not ours").unwrap();
        drop(dir);

        let dir = RuntimeDir::claim(&path).unwrap();
        assert!(!socket.exists());
        assert!(file.exists());
        fs::remove_file(&file).unwrap();
        dir.clear().unwrap();
        assert!(path.exists() && !path.join("h").exists());
    }

    #[test]
    fn a_socket_that_somebody_listens_on_stays_as_long_as_it_does() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("run");
        let dir = RuntimeDir::claim(&path).unwrap();
        let [idle, full, stream, dead] =
            ["idle", "full", "stream", "dead"].map(|id| dir.socket(&id.parse().unwrap()));
        let listeners = [&idle, &full].map(|path| SeqListener::bind(path).unwrap());
        let waiting: Vec<_> = std::iter::from_fn(|| SeqSocket::connect(&full).ok()).collect();
        assert!(!waiting.is_empty());
        let other = UnixListener::bind(&stream).unwrap();
        drop(SeqListener::bind(&dead).unwrap());

        dir.clear().unwrap();
        drop(dir);
        let dir = RuntimeDir::claim(&path).unwrap();
        let left = [&idle, &full, &stream, &dead].map(|path| path.exists());
        assert_eq!(left, [true, true, true, false]);
        drop((listeners, other));
        dir.clear().unwrap();
        assert!(!path.join("h").exists());
    }

    #[test]
    fn a_resumed_directory_is_still_locked() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("run");
        let dir = RuntimeDir::claim(&path).unwrap();
        let lock = dir.lock().try_clone_to_owned().unwrap();
        let resumed = RuntimeDir::resume(dir.path().to_owned(), lock);
        let id = "a".parse().unwrap();
        assert_eq!(resumed.socket(&id), dir.socket(&id));
        drop(dir);
        let second = RuntimeDir::claim(&path).unwrap_err();
        assert!(matches!(second, RuntimeDirError::Locked { .. }));
        drop(resumed);
        RuntimeDir::claim(&path).unwrap();
    }

    #[test]
    fn a_second_supervisor_is_refused_until_the_first_is_gone() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("run");
        let first = RuntimeDir::claim(&path).unwrap();
        let second = RuntimeDir::claim(&path).unwrap_err();
        assert!(matches!(second, RuntimeDirError::Locked { .. }));
        drop(first);
        RuntimeDir::claim(&path).unwrap();
    }

    #[test]
    fn links_files_and_directories_open_to_others_are_refused() {
        let base = tempfile::tempdir().unwrap();
        let open = base.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        let link = base.path().join("link");
        symlink(base.path(), &link).unwrap();
        let file = base.path().join("file");
        fs::write(&file, "").unwrap();
        let deep = base.path().join("a".repeat(60));

        let refusal = |path: &Path| RuntimeDir::claim(path).unwrap_err();
        assert!(matches!(refusal(&open), RuntimeDirError::Writable { .. }));
        assert!(matches!(refusal(&link), RuntimeDirError::Open { .. }));
        assert!(matches!(refusal(&file), RuntimeDirError::Open { .. }));
        assert!(matches!(refusal(&deep), RuntimeDirError::TooLong { .. }));
        assert!(!deep.exists());
    }
}
