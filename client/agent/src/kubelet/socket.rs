//! Sockets in kubelet's directory: our own, and the sight of kubelet's.
//!
//! Kubelet removes every socket there when it starts and makes its own anew, so both are looked at now and then: inotify would have to be
//! set up again whenever the directory itself is replaced, and then looks just as often.
//!
//! **Invariant:** never removes what is no socket, nor a socket that took the place of ours.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

/// Which socket lies at a path, so that another in its place is seen. Inode numbers are used again, hence the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketId {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

/// The socket at `path`, if there is one.
pub async fn socket_at(path: &Path) -> Option<SocketId> {
    let found = tokio::fs::symlink_metadata(path).await.ok()?;
    found.file_type().is_socket().then(|| id(&found))
}

fn id(found: &fs::Metadata) -> SocketId {
    SocketId {
        device: found.dev(),
        inode: found.ino(),
        changed: (found.ctime(), found.ctime_nsec()),
    }
}

/// Why there is no socket of ours.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// There is something else.
    #[error("{} exists and is no socket; move it away", .0.display())]
    Foreign(PathBuf),
    /// The system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A socket of ours. Dropping it removes it, if it is still this one.
#[derive(Debug)]
pub struct OwnSocket {
    path: PathBuf,
    id: SocketId,
}

impl OwnSocket {
    /// Listens at `path`, in the place of what an earlier agent left there.
    ///
    /// # Errors
    /// There is something that is no socket, or the system refuses.
    pub fn bind(path: &Path) -> Result<(Self, UnixListener), SocketError> {
        let failed = |doing| {
            move |source| SocketError::Io {
                doing,
                path: path.to_owned(),
                source,
            }
        };
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => {
                fs::remove_file(path).map_err(failed("remove the old socket"))?;
            }
            Ok(_) => return Err(SocketError::Foreign(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("look at")(error)),
        }
        let listener = UnixListener::bind(path).map_err(failed("listen on"))?;
        // For kubelet, which is root; its directory is closed to others anyway.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .map_err(failed("set the mode of"))?;
        let found = fs::symlink_metadata(path).map_err(failed("look at"))?;
        let own = Self {
            path: path.to_owned(),
            id: id(&found),
        };
        Ok((own, listener))
    }

    /// Whether it still lies where it was made.
    pub async fn is_there(&self) -> bool {
        socket_at(&self.path).await == Some(self.id)
    }
}

impl Drop for OwnSocket {
    fn drop(&mut self) {
        // Whoever replaced the socket meanwhile owns what is there now.
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|found| id(&found) == self.id);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "cannot remove the socket");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_takes_the_place_of_a_dead_socket_and_leaves_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (own, _listener) = OwnSocket::bind(&path).unwrap();
        assert!(own.is_there().await);
        drop(own);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn it_leaves_what_took_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let (first, _listener) = OwnSocket::bind(&path).unwrap();
        let (second, _listener) = OwnSocket::bind(&path).unwrap();
        assert!(!first.is_there().await);
        drop(first);
        assert!(second.is_there().await);
    }

    #[tokio::test]
    async fn it_removes_nothing_but_sockets() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        fs::write(&path, "mine").unwrap();
        let error = OwnSocket::bind(&path).unwrap_err().to_string();
        assert!(error.contains("is no socket; move it away"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}
