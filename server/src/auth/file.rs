//! The policy's file, and its reading again when it changes.
//!
//! A file that is looked at while somebody writes it may be half of what it will be, and half a policy locks callers out. So a change is read when it has
//! rested for a moment, or at once on SIGHUP. Renaming a finished file into place is safe at any time.
//!
//! **Invariant:** a policy that cannot be read, or that others could have written, changes nothing.

use std::{
    fs::{File, Metadata},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use nix::unistd::geteuid;
use tokio::sync::{Notify, watch};

use super::{
    Gatekeeper,
    policy::{BadPolicy, MAX_POLICY_BYTES, Policy},
};
use crate::daemon::on_disk;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(500);

/// Why a file is no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It cannot be read.
    #[error("cannot read policy file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no file of this daemon's user.
    #[error("policy file {} {why}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and the way out.
        why: String,
    },
    /// What it says is not understood.
    #[error("policy file {} cannot be used", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// What.
        source: BadPolicy,
    },
}

/// The policy as it is now, and where it comes from.
#[derive(Debug)]
pub struct PolicyFile {
    path: Option<PathBuf>,
    /// What the file looked like when it was read last, whatever came of it.
    read: Option<Look>,
    policy: watch::Sender<Arc<Policy>>,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    dev: u64,
    ino: u64,
    size: u64,
    changed: (i64, i64),
}

impl Look {
    fn of(found: &Metadata) -> Self {
        Self {
            dev: found.dev(),
            ino: found.ino(),
            size: found.size(),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

impl PolicyFile {
    /// Reads the policy at `path`; without a path it is [`Policy::builtin`].
    ///
    /// # Errors
    /// There is none, or it is no policy.
    pub fn open(path: Option<&Path>) -> Result<Self, PolicyError> {
        let (read, policy) = match path {
            Some(path) => read(path).map(|(look, policy)| (Some(look), policy))?,
            None => (None, Policy::builtin(geteuid().as_raw())),
        };
        Ok(Self {
            path: path.map(Path::to_owned),
            read,
            policy: watch::Sender::new(Arc::new(policy)),
        })
    }

    /// Who judges by it.
    #[must_use]
    pub fn gatekeeper(&self) -> Gatekeeper {
        Gatekeeper::new(self.policy.subscribe())
    }

    /// The policy, as it changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Policy>> {
        self.policy.subscribe()
    }

    /// Reads the file again when it changes, or when `at_once` is notified, as long as the daemon runs. `told` hears of each new
    /// policy, and once of each that cannot be used.
    pub async fn follow(
        mut self,
        at_once: Arc<Notify>,
        told: impl Fn(&Path, Result<(), &anyhow::Error>),
    ) {
        let Some(path) = self.path.clone() else {
            return;
        };
        let mut before = self.read;
        loop {
            let asked = tokio::select! {
                () = at_once.notified() => true,
                () = tokio::time::sleep(EVERY) => false,
            };
            let file = path.clone();
            let look = on_disk(move || std::fs::metadata(file).map(|found| Look::of(&found)));
            let look = look.await.ok().and_then(Result::ok);
            let rested = look == before;
            before = look;
            if asked || (rested && look != self.read) {
                match self.read_again(&path, look).await {
                    Ok(true) => told(&path, Ok(())),
                    Ok(false) => {}
                    Err(error) => told(&path, Err(&error)),
                }
            }
        }
    }

    /// Whether there is another policy now; an error, which is logged, if the file is none.
    async fn read_again(&mut self, path: &Path, look: Option<Look>) -> anyhow::Result<bool> {
        let file = path.to_owned();
        let found = match on_disk(move || read(&file)).await {
            Ok(found) => found,
            Err(died) => {
                tracing::error!(%died, "reading the policy");
                return Ok(false);
            }
        };
        match found {
            Ok((look, policy)) => {
                self.read = Some(look);
                let policy = Arc::new(policy);
                let changed = self.policy.send_if_modified(|now| {
                    let other = *now != policy;
                    *now = policy;
                    other
                });
                tracing::info!(path = %path.display(), changed, "policy read again");
                Ok(changed)
            }
            Err(error) => {
                // Not to be said again until it changes.
                self.read = look;
                let error = anyhow::Error::from(error);
                tracing::error!("{error:#}; the policy stays as it was");
                Err(error)
            }
        }
    }
}

fn read(path: &Path) -> Result<(Look, Policy), PolicyError> {
    let failed = |source| PolicyError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if let Some(why) = foreign(&found, geteuid().as_raw()) {
        let path = path.to_owned();
        return Err(PolicyError::Foreign { path, why });
    }
    let mut text = String::new();
    file.take(MAX_POLICY_BYTES)
        .read_to_string(&mut text)
        .map_err(failed)?;
    let policy = Policy::parse(&text).map_err(|source| PolicyError::Bad {
        path: path.to_owned(),
        source,
    })?;
    Ok((Look::of(&found), policy))
}

/// Why a file is not to be trusted. Who can write it can do everything that the daemon can.
fn foreign(found: &Metadata, uid: u32) -> Option<String> {
    if !found.is_file() {
        return Some("is no file; name one with policy".to_owned());
    }
    if found.size() >= MAX_POLICY_BYTES {
        return Some(format!(
            "has {} bytes; a policy has fewer than {MAX_POLICY_BYTES}",
            found.size()
        ));
    }
    if found.uid() != uid && found.uid() != 0 {
        return Some(format!(
            "belongs to user {}, who could change it; it has to be root's, or of the daemon's user {uid}",
            found.uid()
        ));
    }
    (found.mode() & 0o022 != 0).then(|| {
        format!(
            "has mode {:04o}, so that others can write it; chmod go-w it",
            found.mode() & 0o7777
        )
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    const ROW: &str = "[[caller]]\nidentity = \"uid:1\"\ntenant = \"a\"\nroles = [\"viewer\"]\n";

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.toml");
        fs::write(&path, text).unwrap();
        (dir, path)
    }

    fn refusal(path: &Path) -> String {
        format!(
            "{:#}",
            anyhow::Error::from(PolicyFile::open(Some(path)).unwrap_err())
        )
    }

    #[test]
    fn files_of_others_and_what_is_no_file_are_refused() {
        let (dir, path) = written(ROW);
        PolicyFile::open(Some(&path)).unwrap();
        for mode in [0o620, 0o602] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(refusal(&path).contains("chmod go-w"), "{}", refusal(&path));
        }
        assert!(refusal(dir.path()).contains("is no file"));
        assert!(refusal(&dir.path().join("none")).contains("cannot read"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        // Root's is everybody's.
        let found = fs::metadata(&path).unwrap();
        let why = foreign(&found, found.uid() + 1);
        assert_eq!(why.is_some(), found.uid() != 0);
        fs::write(&path, vec![b'#'; 1 << 20]).unwrap();
        assert!(refusal(&path).contains("1048576 bytes"));
        fs::write(&path, "caller = 1").unwrap();
        assert!(refusal(&path).contains("line 1"));
    }

    #[tokio::test]
    async fn a_bad_file_changes_nothing_and_a_good_one_is_taken() {
        let (_dir, path) = written(ROW);
        let mut file = PolicyFile::open(Some(&path)).unwrap();
        let mut policy = file.subscribe();
        let before = policy.borrow_and_update().clone();
        fs::write(&path, "[[caller]]\n").unwrap();
        file.read_again(&path, None).await.unwrap_err();
        assert_eq!(*policy.borrow(), before);
        assert!(!policy.has_changed().unwrap());
        fs::write(&path, "").unwrap();
        assert!(file.read_again(&path, None).await.unwrap());
        assert!(policy.has_changed().unwrap());
        assert_eq!(**policy.borrow(), Policy::parse("").unwrap());
    }
}
