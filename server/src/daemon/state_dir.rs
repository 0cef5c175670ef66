//! The daemon's own directory, for one daemon at a time.
//!
//! ```text
//! <state_dir>/   0700
//!   lock         held by the daemon that lives
//!   epoch        how many daemons there have been here
//!   launches/    see `records`
//!   ledgers/     see `ended_ledger`
//! ```
//!
//! **Invariant:** no epoch is used twice, also across crashes; of what is not ours nothing is followed, read or replaced.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use super::own;

/// How long a daemon that was killed, or whose supervisor was, may take to let go.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked at again meanwhile. The kernel has no lock that waits with a bound.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A number of 64 bits takes 20, and a line ends.
const MAX_EPOCH_BYTES: u64 = 32;

/// A state directory that is this daemon's alone.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl StateDir {
    /// Makes the directory if it is missing, and takes it for this daemon alone.
    ///
    /// # Errors
    /// Another daemon has it, it is not ours alone, or the kernel's.
    pub async fn claim(path: &Path) -> anyhow::Result<Self> {
        let told = || format!("state_dir {}", path.display());
        own::dir(path).with_context(told)?;
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        let file = own::file(&path.join("lock"), &mut options).with_context(told)?;
        let lock = tokio::time::timeout(PATIENCE, lock(file)).await;
        let lock = lock.unwrap_or_else(|_elapsed| {
            Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another daemon uses it; give each its own",
            ))
        });
        Ok(Self {
            path: path.to_owned(),
            _lock: lock.with_context(told)?,
        })
    }

    /// Where launches are kept.
    #[must_use]
    pub fn launches(&self) -> PathBuf {
        self.path.join("launches")
    }

    /// Where the ledgers of ended launches are kept.
    #[must_use]
    pub fn ledgers(&self) -> PathBuf {
        self.path.join("ledgers")
    }

    /// Where images are stored.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.path.join("images")
    }

    /// The number of this daemon: above that of every daemon before, and at least `least`.
    ///
    /// # Errors
    /// The kernel's, or the file is none of ours, or not a number.
    pub fn next_epoch(&self, least: u64) -> anyhow::Result<u64> {
        let path = self.path.join("epoch");
        let told = || format!("{}: remove it if no launch host lives", path.display());
        let last = match own::file(&path, File::options().read(true)) {
            Ok(file) => read_number(file).with_context(told)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error).with_context(told),
        };
        let epoch = last.saturating_add(1).max(least);
        let write = || {
            // Always the same name: what a daemon leaves that is killed here, the next one removes.
            let new = self.path.join("epoch.new");
            own::remove(&new)?;
            let mut file = own::file(&new, File::options().write(true).create_new(true))?;
            writeln!(file, "{epoch}")?;
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        write().with_context(told)?;
        Ok(epoch)
    }
}

fn read_number(file: File) -> anyhow::Result<u64> {
    let mut text = String::new();
    file.take(MAX_EPOCH_BYTES).read_to_string(&mut text)?;
    Ok(text.trim().parse()?)
}

async fn lock(mut file: File) -> io::Result<Flock<File>> {
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((back, Errno::EWOULDBLOCK)) => file = back,
            Err((_, errno)) => return Err(errno.into()),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_daemon_has_it_and_every_epoch_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let state = StateDir::claim(&path).await.unwrap();
        let refused = StateDir::claim(&path).await.unwrap_err();
        assert!(format!("{refused:#}").contains("another daemon"));
        assert_eq!(state.next_epoch(0).unwrap(), 1);
        assert_eq!(state.next_epoch(5).unwrap(), 5);
        drop(state);
        let state = StateDir::claim(&path).await.unwrap();
        assert_eq!(state.next_epoch(1).unwrap(), 6);
        fs::write(path.join("epoch.new"), "of one that was killed").unwrap();
        assert_eq!(state.next_epoch(1).unwrap(), 7);
        assert!(!path.join("epoch.new").exists());
        fs::write(path.join("epoch"), "many").unwrap();
        state.next_epoch(1).unwrap_err();
    }
}
