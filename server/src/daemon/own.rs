//! Files and directories that are the daemon's own, and the refusal of all others.
//!
//! Whoever puts something else in their place could have the daemon read, overwrite or wait for what it should not.
//!
//! **Invariant:** no symbolic link is followed at the end of a path, no FIFO is waited for, and what is not ours is neither opened nor removed.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions},
    io,
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
    },
    path::Path,
};

use nix::{errno::Errno, fcntl::OFlag, unistd::geteuid};

/// Makes the directory if it is missing, for us alone.
///
/// # Errors
/// The kernel's; `PermissionDenied` for what is no directory, is another user's, or lies open to others.
pub(super) fn dir(path: &Path) -> io::Result<()> {
    opened(path).map(drop)
}

/// The same, and gives it this mode.
///
/// # Errors
/// As [`dir`].
pub(super) fn open_dir(path: &Path, mode: u32) -> io::Result<()> {
    let dir = opened(path)?;
    if dir.metadata()?.mode() & 0o7777 != mode {
        dir.set_permissions(Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Lets a group pass through a directory of ours.
///
/// # Errors
/// As [`dir`].
pub(super) fn let_group_pass(path: &Path, group: u32) -> io::Result<()> {
    let dir = opened(path)?;
    let found = dir.metadata()?;
    if found.gid() != group {
        fchown(&dir, None, Some(group))?;
    }
    if found.mode() & 0o010 == 0 {
        dir.set_permissions(Permissions::from_mode(found.mode() & 0o7777 | 0o010))?;
    }
    Ok(())
}

fn opened(path: &Path) -> io::Result<File> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        }
        Ok(_) | Err(_) => {}
    }
    let dir = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits())
        .open(path)
        .map_err(|error| named(path, "a directory", error))?;
    let found = dir.metadata()?;
    owned(path, &found)?;
    if found.mode() & 0o022 != 0 {
        return Err(foreign(path, "others may write to it (chmod go-w it)"));
    }
    Ok(dir)
}

/// Opens a file as `options` say; one that they make is for us alone.
///
/// # Errors
/// The kernel's; `PermissionDenied` for what is no regular file, or another user's.
pub(super) fn file(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = options
        .mode(0o600)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path)
        .map_err(|error| named(path, "a regular file", error))?;
    regular(path, &file.metadata()?)?;
    Ok(file)
}

/// Whether there is a file, which then is one of ours and may be replaced or removed.
///
/// # Errors
/// The kernel's; `PermissionDenied` for what is not ours.
pub(super) fn has(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        found => regular(path, &found?).map(|()| true),
    }
}

/// Removes a file of ours. One that is not there is no error.
///
/// # Errors
/// As [`has`].
pub(super) fn remove(path: &Path) -> io::Result<()> {
    if has(path)? {
        fs::remove_file(path)?;
    }
    Ok(())
}

fn regular(path: &Path, found: &Metadata) -> io::Result<()> {
    if !found.is_file() {
        return Err(foreign(path, "it is not a regular file"));
    }
    owned(path, found)
}

fn owned(path: &Path, found: &Metadata) -> io::Result<()> {
    if found.uid() != geteuid().as_raw() {
        let why = format!("it belongs to user {}", found.uid());
        return Err(foreign(path, &why));
    }
    Ok(())
}

/// What open(2) says of a symbolic link, of something else than a directory, of a directory, of a FIFO or a socket, and of what others may not open.
fn named(path: &Path, wanted: &str, error: io::Error) -> io::Error {
    let errno = error.raw_os_error().map(Errno::from_raw);
    match errno {
        Some(Errno::ELOOP | Errno::ENOTDIR | Errno::EISDIR | Errno::ENXIO) => {
            foreign(path, &format!("it is not {wanted}"))
        }
        Some(Errno::EACCES) => foreign(path, "this user may not open it"),
        Some(_) | None => error,
    }
}

fn foreign(path: &Path, why: &str) -> io::Error {
    let text = format!(
        "{}: {why}; move it away, or name another directory",
        path.display()
    );
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::{
        fs::{chown, symlink},
        net::UnixListener,
    };

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    fn refused<T: std::fmt::Debug>(result: io::Result<T>, path: &Path) {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        let text = error.to_string();
        assert!(text.contains(&path.display().to_string()), "{text}");
        assert!(text.contains("move it away"), "{text}");
    }

    #[test]
    fn a_directory_of_our_own_is_made_and_found_again() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("a/b");
        dir(&path).unwrap();
        dir(&path).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&path, Permissions::from_mode(0o770)).unwrap();
        refused(dir(&path), &path);
        let link = base.path().join("link");
        symlink(base.path(), &link).unwrap();
        refused(dir(&link), &link);
        let file = base.path().join("file");
        fs::write(&file, "").unwrap();
        refused(dir(&file), &file);
    }

    #[test]
    fn a_file_of_our_own_is_opened_and_nothing_else_is() {
        let base = tempfile::tempdir().unwrap();
        let at = |name: &str| base.path().join(name);
        let ours = at("ours");
        file(&ours, File::options().write(true).create_new(true)).unwrap();
        assert!(has(&ours).unwrap() && !has(&at("nothing")).unwrap());
        symlink(&ours, at("link")).unwrap();
        symlink(at("nothing"), at("dangling")).unwrap();
        fs::create_dir(at("dir")).unwrap();
        mkfifo(&at("fifo"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let _listener = UnixListener::bind(at("socket")).unwrap();
        for name in ["link", "dangling", "dir", "fifo", "socket"] {
            let path = at(name);
            refused(file(&path, File::options().read(true)), &path);
            refused(file(&path, File::options().write(true).create(true)), &path);
            refused(has(&path), &path);
            refused(remove(&path), &path);
            path.symlink_metadata().unwrap();
        }
        assert!(!at("nothing").exists());
        remove(&ours).unwrap();
        remove(&ours).unwrap();
    }

    #[test]
    fn what_another_user_owns_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("theirs");
        fs::write(&path, "").unwrap();
        // Only root can give files away; others find /etc.
        let theirs = if geteuid().is_root() {
            chown(&path, Some(12345), None).unwrap();
            chown(base.path(), Some(12345), None).unwrap();
            (base.path().to_owned(), path)
        } else {
            ("/etc".into(), "/etc/hostname".into())
        };
        refused(dir(&theirs.0), &theirs.0);
        refused(file(&theirs.1, File::options().read(true)), &theirs.1);
        refused(remove(&theirs.1), &theirs.1);
    }
}
