//! The directory in which hosts are reached.
//!
//! ```text
//! <runtime_dir>/        owned by us, writable by nobody else, locked by the supervisor that lives
//!   h/                  0700
//!     <host id>.sock    0600, from before the host starts until it is reaped
//! ```
//!
//! **Invariant:** nothing but sockets is ever removed, and only under the lock.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::geteuid;

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
    hosts: PathBuf,
    // Holds the lock; the kernel lets go of it when the last descriptor closes, however that happens.
    _lock: File,
}

/// The path of a host's socket in the directory that `Welcome` names.
#[must_use]
pub fn socket_path(host_dir: &Path, id: &HostId) -> PathBuf {
    host_dir.join(format!("{id}.sock"))
}

impl RuntimeDir {
    /// Creates the directory where it is missing, checks and locks it, and removes the sockets that a killed supervisor left.
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
        private_dir(&hosts)?
            .set_permissions(Permissions::from_mode(0o700))
            .and_then(|()| remove_sockets(&hosts))
            .map_err(|source| RuntimeDirError::Clear {
                path: hosts.clone(),
                source,
            })?;
        Ok(Self { hosts, _lock: lock })
    }

    /// Where the hosts' sockets are.
    pub(super) fn host_dir(&self) -> &Path {
        &self.hosts
    }

    /// Where a host's socket is.
    pub(super) fn socket(&self, id: &HostId) -> PathBuf {
        socket_path(&self.hosts, id)
    }

    /// Takes a host's socket away; one that is gone is no error.
    pub(super) fn remove_socket(&self, id: &HostId) {
        let path = self.socket(id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "a host's socket stays behind");
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Takes everything away that [`Self::claim`] and the hosts put there. The directory itself may be somebody else's mount and stays.
    pub(super) fn clear(&self) -> io::Result<()> {
        remove_sockets(&self.hosts)?;
        fs::remove_dir(&self.hosts)
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

fn remove_sockets(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_socket() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

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
        drop(UnixListener::bind(&socket).unwrap());
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
