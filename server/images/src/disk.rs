//! Directories of the store's own, and every step that changes them.
//!
//! Names are relative to an open directory, so nobody can exchange a directory above. Each step that changes something first asks [`Steps`], which tests use
//! to fail, or to end the world, between any two of them.
//!
//! **Invariant:** nothing but a regular file of our own is opened, replaced or removed, and no symbolic link is followed at the root or below.

use std::{
    fmt,
    fs::{DirBuilder, File},
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{AtFlags, FileType, FlockOperation, Mode, OFlags},
    io::Errno,
};

/// Bytes that one step writes: of an extent that is cut short by a crash, whole ones are there.
const WRITE: usize = 256 << 10;

/// What changes a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A file or a directory comes into being.
    Create,
    /// Bytes are written to a file.
    Write,
    /// A file's length or times change.
    Change,
    /// What was written is forced to the disk.
    Sync,
    /// A file gets another name.
    Rename,
    /// A file goes.
    Remove,
}

/// Is asked before each step.
pub(crate) trait Steps: fmt::Debug + Send + Sync {
    /// Whether the step may be taken.
    ///
    /// # Errors
    /// What the step then fails with.
    fn before(&self, step: Step) -> io::Result<()>;
}

/// Every step may be taken.
#[derive(Debug)]
pub(crate) struct Unhindered;

impl Steps for Unhindered {
    fn before(&self, _: Step) -> io::Result<()> {
        Ok(())
    }
}

/// An open directory.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    /// For messages: nothing is opened by it.
    path: PathBuf,
    steps: Arc<dyn Steps>,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    /// A regular file of ours.
    File {
        size: u64,
        modified: SystemTime,
    },
    /// A directory of ours.
    Dir,
    /// Anything else.
    Foreign,
}

impl Dir {
    /// The root, made with mode 0700 if it is missing.
    pub(crate) fn root(path: &Path, steps: Arc<dyn Steps>) -> io::Result<Self> {
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            }
            Ok(_) | Err(_) => {}
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Self::own(rustix::fs::open(path, flags, Mode::empty()), path, steps)
    }

    /// A directory in this one, made with mode 0700 if it is missing.
    pub(crate) fn sub(&self, name: &str) -> io::Result<Self> {
        if self.find(name)? == Found::Nothing {
            self.steps.before(Step::Create)?;
            rustix::fs::mkdirat(&self.fd, name, Mode::RWXU)?;
            self.sync()?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.fd, name, flags, Mode::empty());
        Self::own(opened, &self.path.join(name), Arc::clone(&self.steps))
    }

    /// What was opened, if it is a directory of ours alone.
    fn own(
        opened: rustix::io::Result<OwnedFd>,
        path: &Path,
        steps: Arc<dyn Steps>,
    ) -> io::Result<Self> {
        let fd = match opened {
            Err(Errno::LOOP | Errno::NOTDIR | Errno::ACCESS) => {
                return Err(foreign(path, "not a directory of this user"));
            }
            opened => opened?,
        };
        let found = rustix::fs::fstat(&fd)?;
        if found.st_uid != us() {
            return Err(foreign(path, "not a directory of this user"));
        }
        if found.st_mode & 0o022 != 0 {
            return Err(foreign(path, "others may write to it (chmod go-w it)"));
        }
        Ok(Self {
            fd,
            path: path.to_owned(),
            steps,
        })
    }

    /// Takes the file of this name for this process alone, as long as the answer lives. `None` if another has it.
    pub(crate) fn lock(&self, name: &str) -> io::Result<Option<File>> {
        let file = match self.find(name)? {
            Found::Nothing => self.create(name)?,
            Found::File { .. } | Found::Dir | Found::Foreign => self.open(name, OFlags::RDWR)?,
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What a name stands for. Links are not followed.
    pub(crate) fn find(&self, name: &str) -> io::Result<Found> {
        let stat = match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            Err(error) => return Err(error.into()),
        };
        if stat.st_uid != us() {
            return Ok(Found::Foreign);
        }
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            return Ok(Found::Dir);
        }
        if kind != FileType::RegularFile {
            return Ok(Found::Foreign);
        }
        let seconds = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
        let part = Duration::from_nanos(stat.st_mtime_nsec);
        Ok(Found::File {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: SystemTime::UNIX_EPOCH + seconds + part,
        })
    }

    /// A new file with mode 0600, for reading and writing.
    pub(crate) fn create(&self, name: &str) -> io::Result<File> {
        self.steps.before(Step::Create)?;
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(File::from(fd))
    }

    /// Opens a regular file of ours. `InvalidInput` for anything else that is there.
    pub(crate) fn open(&self, name: &str, access: OFlags) -> io::Result<File> {
        // A FIFO that somebody put there would otherwise wait for its other end.
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::ACCESS) => {
                return Err(self.not_ours(name));
            }
            Err(error) => return Err(error.into()),
        };
        let found = file.metadata()?;
        if !found.is_file() || found.uid() != us() {
            return Err(self.not_ours(name));
        }
        Ok(file)
    }

    /// Writes a new file at once, in place of one of ours that may be there; does not force it to the disk.
    pub(crate) fn write_new(&self, name: &str, bytes: &[u8]) -> io::Result<File> {
        self.remove(name)?;
        let file = self.create(name)?;
        self.write_at(&file, bytes, 0)?;
        Ok(file)
    }

    /// Writes all of `bytes` at an offset.
    pub(crate) fn write_at(&self, file: &File, bytes: &[u8], mut offset: u64) -> io::Result<()> {
        for part in bytes.chunks(WRITE) {
            self.steps.before(Step::Write)?;
            file.write_all_at(part, offset)?;
            offset = offset.saturating_add(part.len() as u64);
        }
        Ok(())
    }

    /// Gives a file another length; what is added is a hole.
    pub(crate) fn set_len(&self, file: &File, len: u64) -> io::Result<()> {
        self.steps.before(Step::Change)?;
        file.set_len(len)
    }

    /// Gives a file the time of its last use.
    pub(crate) fn set_modified(&self, name: &str, time: SystemTime) -> io::Result<()> {
        self.steps.before(Step::Change)?;
        self.open(name, OFlags::RDONLY)?.set_modified(time)
    }

    /// Forces a file to the disk.
    pub(crate) fn sync_file(&self, file: &File) -> io::Result<()> {
        self.steps.before(Step::Sync)?;
        file.sync_all()
    }

    /// Forces the names in this directory to the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.steps.before(Step::Sync)?;
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    /// Moves a file of ours; one of ours that is there is replaced, anything else is not.
    pub(crate) fn rename(&self, from: &str, to: &Self, name: &str) -> io::Result<()> {
        if !matches!(to.find(name)?, Found::Nothing | Found::File { .. }) {
            return Err(to.not_ours(name));
        }
        self.steps.before(Step::Rename)?;
        Ok(rustix::fs::renameat(&self.fd, from, &to.fd, name)?)
    }

    /// Removes a file of ours; tells whether there was one. Anything else is left alone.
    pub(crate) fn remove(&self, name: &str) -> io::Result<bool> {
        match self.find(name)? {
            Found::Nothing => Ok(false),
            Found::Dir | Found::Foreign => Err(self.not_ours(name)),
            Found::File { .. } => {
                self.steps.before(Step::Remove)?;
                rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?;
                Ok(true)
            }
        }
    }

    /// All names in this directory, in order. Those that are no UTF-8 come out as none of ours.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn not_ours(&self, name: &str) -> io::Error {
        foreign(&self.path.join(name), "not a regular file of this user")
    }
}

/// What is said of a thing that is in our way.
fn foreign(path: &Path, why: &str) -> io::Error {
    let text = format!("{}: {why}; move it away by hand", path.display());
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn us() -> u32 {
    rustix::process::geteuid().as_raw()
}
