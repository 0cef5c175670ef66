//! The directory of the audit log, and every step that changes it.
//!
//! Names are relative to the open directory, so nobody can exchange a directory above. Each step that changes something first asks [`Steps`], which tests use to
//! fail, or to end the world, between any two of them.
//!
//! **Invariant:** nothing is read or written but regular files of our own, which nobody else may open; no symbolic link is followed.

use std::{
    fmt,
    fs::{DirBuilder, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};

/// The file that is written.
pub(super) const CURRENT: &str = "audit.jsonl";

/// What the names of full files begin and end with. Between is the number of the last record, with leading zeros.
const FULL: (&str, &str) = ("audit-", ".jsonl");

/// What changes a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A file comes into being.
    Create,
    /// Bytes are appended.
    Write,
    /// Bytes at the end are taken back.
    Truncate,
    /// What was written is forced to the disk.
    Sync,
    /// A file gets another name.
    Rename,
    /// A file goes.
    Remove,
}

/// Is asked before each step.
pub(super) trait Steps: fmt::Debug + Send + Sync {
    /// How many of `bytes` the step may change; a step without bytes has none to change.
    ///
    /// # Errors
    /// What the step then fails with.
    fn before(&self, step: Step, bytes: usize) -> io::Result<usize>;
}

/// Every step may be taken.
#[derive(Debug)]
pub(super) struct Unhindered;

impl Steps for Unhindered {
    fn before(&self, _: Step, bytes: usize) -> io::Result<usize> {
        Ok(bytes)
    }
}

/// The open directory.
#[derive(Debug)]
pub(super) struct Place {
    dir: OwnedFd,
    path: PathBuf,
    steps: Arc<dyn Steps>,
}

/// Why a directory or a file in it is not used.
fn foreign(path: &Path, why: &str) -> io::Error {
    let text = format!(
        "{}: {why}; move it away, or name another audit_dir",
        path.display()
    );
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

impl Place {
    /// Opens the directory, made if it is missing.
    ///
    /// # Errors
    /// The kernel's, or [`PermissionDenied`](io::ErrorKind::PermissionDenied) if it is not ours alone.
    pub(super) fn open(path: &Path, steps: Arc<dyn Steps>) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| {
            foreign(
                path,
                &format!("not a directory that can be opened ({errno})"),
            )
        })?;
        let found = rustix::fs::fstat(&dir)?;
        if found.st_uid != rustix::process::geteuid().as_raw() {
            return Err(foreign(path, "it belongs to another user"));
        }
        if found.st_mode & 0o022 != 0 {
            return Err(foreign(path, "others may write to it (chmod go-w it)"));
        }
        Ok(Self {
            dir,
            path: path.to_owned(),
            steps,
        })
    }

    /// Opens a file to append to it, if it is there.
    ///
    /// # Errors
    /// The kernel's, or `PermissionDenied` if it is not a regular file that is ours alone.
    pub(super) fn find(&self, name: &str) -> io::Result<Option<File>> {
        let flags =
            OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let path = self.path.join(name);
        let file = match rustix::fs::openat(&self.dir, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(rustix::io::Errno::LOOP) => return Err(foreign(&path, "it is a symbolic link")),
            // A directory, a FIFO or a socket, and what this user may not open.
            Err(
                errno @ (rustix::io::Errno::ISDIR
                | rustix::io::Errno::NXIO
                | rustix::io::Errno::ACCESS),
            ) => {
                let why = format!("not a file that can be opened ({errno})");
                return Err(foreign(&path, &why));
            }
            Err(errno) => return Err(errno.into()),
        };
        let found = file.metadata()?;
        let ours = found.uid() == rustix::process::geteuid().as_raw();
        if !found.is_file() || !ours || found.nlink() != 1 || found.mode() & 0o077 != 0 {
            return Err(foreign(
                &path,
                "not a regular file with mode 0600 that belongs to the daemon's user, under one name",
            ));
        }
        Ok(Some(file))
    }

    /// Makes the file that is to be written, and forces the directory to the disk. One that is there and empty is from a try that failed.
    ///
    /// # Errors
    /// The kernel's, or `PermissionDenied` if there is one that is not empty.
    pub(super) fn create(&self) -> io::Result<File> {
        if let Some(file) = self.find(CURRENT)? {
            if file.metadata()?.len() > 0 {
                let path = self.path.join(CURRENT);
                return Err(foreign(&path, "it is not the one that this daemon wrote"));
            }
            self.sync()?;
            return Ok(file);
        }
        self.steps.before(Step::Create, 0)?;
        let flags = OFlags::RDWR
            | OFlags::APPEND
            | OFlags::CREATE
            | OFlags::EXCL
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = rustix::fs::openat(&self.dir, CURRENT, flags, mode)?;
        self.sync()?;
        Ok(File::from(file))
    }

    /// Whether `file` is the one that is called [`CURRENT`] still.
    pub(super) fn has(&self, file: &File) -> io::Result<bool> {
        let held = file.metadata()?;
        match rustix::fs::statat(&self.dir, CURRENT, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok((found.st_dev, found.st_ino) == (held.dev(), held.ino())),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Appends `bytes` with one write(2), or as few as the kernel makes of it, and forces them to the disk.
    pub(super) fn append(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        let allowed = self.steps.before(Step::Write, bytes.len())?;
        file.write_all(&bytes[..allowed])?;
        if allowed < bytes.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.steps.before(Step::Sync, 0)?;
        file.sync_data()
    }

    /// Takes back what is behind `length` bytes.
    pub(super) fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        self.steps.before(Step::Truncate, 0)?;
        file.set_len(length)
    }

    /// Gives the current file the name of a full one, whose last record has the number `last`. Never in place of another. It is on the disk when the next file is.
    pub(super) fn set_aside(&self, last: u64) -> io::Result<()> {
        self.steps.before(Step::Rename, 0)?;
        let name = format!("{}{last:020}{}", FULL.0, FULL.1);
        let flags = RenameFlags::NOREPLACE;
        Ok(rustix::fs::renameat_with(
            &self.dir, CURRENT, &self.dir, &name, flags,
        )?)
    }

    /// Names of full files, oldest first.
    pub(super) fn full(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            let number = name
                .strip_prefix(FULL.0)
                .and_then(|rest| rest.strip_suffix(FULL.1));
            if number.is_some_and(|it| it.len() == 20 && it.bytes().all(|b| b.is_ascii_digit())) {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Removes a full file.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        self.steps.before(Step::Remove, 0)?;
        Ok(rustix::fs::unlinkat(&self.dir, name, AtFlags::empty())?)
    }

    /// The last bytes of a file, at most `most`, and its length.
    pub(super) fn end_of(&self, mut file: &File, most: u64) -> io::Result<(Vec<u8>, u64)> {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
        let mut end = Vec::new();
        // Nobody else writes it; what is appended all the same does not grow this.
        file.take(most).read_to_end(&mut end)?;
        Ok((end, length))
    }

    fn sync(&self) -> io::Result<()> {
        self.steps.before(Step::Sync, 0)?;
        Ok(rustix::fs::fsync(&self.dir)?)
    }
}
