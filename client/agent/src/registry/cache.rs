//! Pulled files by digest.
//!
//! ```text
//! DIRECTORY/blobs/<hex>      whole, verified when it was put there and whenever it is given out
//! DIRECTORY/partial/<hex>    as far as it was pulled
//! DIRECTORY/manifests/<hex>
//! ```
//!
//! **Invariant:** holds at most as many bytes of blobs as it was given room for; what is needed next takes the place of what was needed longest ago.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::SystemTime,
};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use stagepages_client::hex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{blocking::blocking, fault::Fault};

mod manifests;

/// The files.
#[derive(Debug)]
pub(super) struct Cache {
    directory: PathBuf,
    most: u64,
    gates: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// The cache cannot be used.
pub(super) fn unwritable(path: &Path, error: &io::Error) -> Fault {
    let text = format!(
        "cannot use {} in the cache of this node: {error}; look at --cache-dir of the node agent",
        path.display()
    );
    Fault::passing("CACHE_UNWRITABLE", text)
}

impl Cache {
    pub(super) fn new(directory: PathBuf, most: u64) -> anyhow::Result<Self> {
        for part in ["blobs", "partial", "manifests"] {
            let path = directory.join(part);
            fs::create_dir_all(&path)
                .with_context(|| format!("cannot make {} for pulled images", path.display()))?;
        }
        Ok(Self {
            directory,
            most,
            gates: Mutex::default(),
        })
    }

    /// Waits until nobody else pulls this digest.
    pub(super) async fn gate(&self, digest: &str) -> Option<OwnedSemaphorePermit> {
        let gate = {
            let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
            gates.retain(|_, gate| gate.strong_count() > 0);
            let known = gates.get(digest).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let gate = Arc::new(Semaphore::new(1));
                gates.insert(digest.to_owned(), Arc::downgrade(&gate));
                gate
            })
        };
        // Nobody closes it.
        gate.acquire_owned().await.ok()
    }

    fn path(&self, part: &str, digest: &str) -> PathBuf {
        let name = digest.strip_prefix("sha256:").unwrap_or(digest);
        self.directory.join(part).join(name)
    }

    /// The blob, if it is there and is what it is called. One that is not is removed.
    pub(super) async fn verified(
        &self,
        digest: &str,
        bytes: u64,
    ) -> Result<Option<PathBuf>, Fault> {
        let path = self.path("blobs", digest);
        let (at, wanted) = (path.clone(), digest.to_owned());
        let found = blocking(move || {
            let file = match fs::File::open(&at) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error),
            };
            if file.metadata()?.len() == bytes && hash(&file)? == wanted {
                file.set_modified(SystemTime::now())?;
                return Ok(true);
            }
            tracing::warn!(
                digest = wanted,
                "a file of the cache is not what it is called, and is pulled again"
            );
            fs::remove_file(&at)?;
            Ok(false)
        })
        .await
        .map_err(|error| unwritable(&path, &error))?;
        Ok(found.then_some(path))
    }

    /// Makes room for so many bytes, and returns where to write them.
    pub(super) async fn room(&self, digest: &str, bytes: u64) -> Result<PathBuf, Fault> {
        if bytes > self.most {
            let text = format!(
                "an image of {bytes} bytes does not fit into the cache of this node, which keeps {} bytes; raise --cache-bytes of the node agent",
                self.most
            );
            return Err(Fault::lasting("IMAGE_TOO_LARGE", text));
        }
        let (directory, most) = (self.directory.clone(), self.most);
        let partial = self.path("partial", digest);
        let keep = partial.clone();
        blocking(move || make_room(&directory, &keep, bytes, most))
            .await
            .map_err(|error| unwritable(&partial, &error))?;
        Ok(partial)
    }

    /// Puts what was pulled among the blobs, if it is what it is called.
    pub(super) async fn commit(&self, digest: &str, bytes: u64) -> Result<PathBuf, Fault> {
        let (partial, path) = (self.path("partial", digest), self.path("blobs", digest));
        let (from, to, wanted) = (partial.clone(), path.clone(), digest.to_owned());
        let is_it = blocking(move || {
            let file = fs::File::open(&from)?;
            if file.metadata()?.len() != bytes || hash(&file)? != wanted {
                fs::remove_file(&from)?;
                return Ok(false);
            }
            file.sync_all()?;
            fs::rename(&from, &to)?;
            Ok(true)
        })
        .await
        .map_err(|error| unwritable(&partial, &error))?;
        match is_it {
            true => Ok(path),
            false => Err(Fault::passing(
                "IMAGE_DIGEST_MISMATCH",
                format!(
                    "what the registry sends for {digest} has another digest; nothing of it was used. Look at the registry, and at what is between it and this node"
                ),
            )),
        }
    }
}

struct Found {
    path: PathBuf,
    bytes: u64,
    modified: SystemTime,
}

fn files(folder: &Path) -> io::Result<Vec<Found>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Another pull may have removed it meanwhile.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        all.push(Found {
            path: entry.path(),
            bytes: metadata.len(),
            modified: metadata.modified()?,
        });
    }
    Ok(all)
}

/// Removes what was needed longest ago until so many bytes fit beside the rest, parts of others included.
fn make_room(directory: &Path, keep: &Path, bytes: u64, most: u64) -> io::Result<()> {
    let mut all = files(&directory.join("blobs"))?;
    all.extend(files(&directory.join("partial"))?);
    all.retain(|it| it.path != keep);
    all.sort_by_key(|it| it.modified);
    let mut held: u64 = all.iter().map(|it| it.bytes).sum();
    for old in all {
        if held.saturating_add(bytes) <= most {
            break;
        }
        tracing::info!(file = %old.path.display(), bytes = old.bytes, "removed to make room for another image");
        gone(fs::remove_file(&old.path))?;
        held = held.saturating_sub(old.bytes);
    }
    Ok(())
}

/// That it was gone before is as good.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn hash(mut file: &fs::File) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        let count = io::Read::read(&mut file, &mut block)?;
        if count == 0 {
            return Ok(format!("sha256:{}", hex::digits(&hasher.finalize())));
        }
        hasher.update(block.get(..count).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8]) -> String {
        format!("sha256:{}", hex::digits(&Sha256::digest(bytes)))
    }

    async fn put(cache: &Cache, bytes: &[u8]) -> Result<PathBuf, Fault> {
        let (digest, length) = (digest(bytes), bytes.len() as u64);
        let partial = cache.room(&digest, length).await?;
        fs::write(partial, bytes).unwrap();
        cache.commit(&digest, length).await
    }

    #[tokio::test]
    async fn the_oldest_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned(), 10).unwrap();
        let first = put(&cache, b"1111").await.unwrap();
        let old = SystemTime::UNIX_EPOCH;
        fs::File::open(&first).unwrap().set_modified(old).unwrap();
        let second = put(&cache, b"2222").await.unwrap();
        let third = put(&cache, b"3333").await.unwrap();
        assert!(!first.exists() && second.exists() && third.exists());
        assert_eq!(
            put(&cache, &[0; 11]).await.unwrap_err().reason,
            "IMAGE_TOO_LARGE"
        );
    }

    #[tokio::test]
    async fn what_is_not_what_it_is_called_is_not_given_out() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned(), 100).unwrap();
        let path = put(&cache, b"good").await.unwrap();
        assert_eq!(
            cache.verified(&digest(b"good"), 4).await,
            Ok(Some(path.clone()))
        );
        fs::write(&path, b"evil").unwrap();
        assert_eq!(cache.verified(&digest(b"good"), 4).await, Ok(None));
        assert!(!path.exists());
        let partial = cache.room(&digest(b"good"), 4).await.unwrap();
        fs::write(&partial, b"evil").unwrap();
        let fault = cache.commit(&digest(b"good"), 4).await.unwrap_err();
        assert_eq!(fault.reason, "IMAGE_DIGEST_MISMATCH");
        assert!(!partial.exists());
    }
}
