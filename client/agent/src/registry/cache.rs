//! Pulled files by digest.
//!
//! ```text
//! DIRECTORY/blobs/<hex>      whole, verified when it was put there and whenever it is given out
//! DIRECTORY/partial/<hex>    as far as it was pulled
//! DIRECTORY/manifests/<hex>
//! ```
//!
//! **Invariant:** nothing is given out whose digest was not computed just then.

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

use super::room::{Keeping, Promise, Purpose, Room, files, gone};
use crate::{blocking::blocking, fault::Fault};

mod manifests;

/// The files.
#[derive(Debug)]
pub(super) struct Cache {
    directory: PathBuf,
    most: u64,
    room: Room,
    gates: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// There is no room for it beside what else is kept.
pub(crate) const NOT_KEPT: &str = "NOT_KEPT";

/// What its file is called.
pub(super) fn name(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
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
        let room = Room::new(directory.clone(), most);
        room.trim()
            .with_context(|| format!("cannot make room in {}", directory.display()))?;
        Ok(Self {
            directory,
            most,
            room,
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
        self.directory.join(part).join(name(digest))
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

    /// Files that are to be kept at hand; none yet.
    pub(super) fn keeping(&self) -> Keeping {
        self.room.keeping()
    }

    /// Makes room for so many bytes, which is kept free for them until the promise is dropped, and returns where to write them.
    pub(super) async fn room(
        &self,
        digest: &str,
        bytes: u64,
        purpose: Purpose<'_>,
    ) -> Result<(PathBuf, Promise), Fault> {
        if bytes > self.most {
            let text = format!(
                "an image of {bytes} bytes does not fit into the cache of this node, which keeps {} bytes; raise --cache-bytes of the node agent",
                self.most
            );
            return Err(Fault::lasting("IMAGE_TOO_LARGE", text));
        }
        let partial = self.path("partial", digest);
        let (room, name) = (self.room.clone(), name(digest).to_owned());
        let spares_wanted = matches!(purpose, Purpose::Keep(_));
        let promise = blocking(move || room.promise(&name, bytes, spares_wanted))
            .await
            .map_err(|error| unwritable(&partial, &error))?;
        let Some(promise) = promise else {
            return Err(match purpose {
                Purpose::Launch => Fault::passing(
                    "CACHE_FULL",
                    format!(
                        "other images are being pulled that leave no room for {bytes} bytes in the cache of this node, which keeps {} bytes; it is tried again. If that happens often, raise --cache-bytes of the node agent",
                        self.most
                    ),
                ),
                Purpose::Keep(_) => Fault::passing(
                    NOT_KEPT,
                    format!(
                        "there is no room for its {bytes} bytes beside the other images that are kept in the cache of this node, which keeps {} bytes; raise --cache-bytes of the node agent, or delete a LaunchImage. It is pulled when there is room, or a launch needs it",
                        self.most
                    ),
                ),
            });
        };
        Ok((partial, promise))
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
        let (partial, _promise) = cache.room(&digest, length, Purpose::Launch).await?;
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
        let good = digest(b"good");
        let (partial, _promise) = cache.room(&good, 4, Purpose::Launch).await.unwrap();
        fs::write(&partial, b"evil").unwrap();
        let fault = cache.commit(&digest(b"good"), 4).await.unwrap_err();
        assert_eq!(fault.reason, "IMAGE_DIGEST_MISMATCH");
        assert!(!partial.exists());
    }
}
