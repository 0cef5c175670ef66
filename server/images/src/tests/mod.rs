//! The store as a whole, on real directories.

mod commit;
mod crash;
mod damage;
mod model;
mod owners;
mod room;
mod threads;
mod uploads;

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::{
    Begun, ImageDigest, ImageInfo, Limits, Store, StoreError, Upload,
    disk::{Step, Steps},
};

/// Large enough for several writes of the disk, and for a page that ends early.
const BYTES: usize = (600 << 10) + 5;

/// Owners.
const ANN: &str = "ann";
const BOB: &str = "bob";

/// The id of uploads where there is one.
const ID: &str = "1";

/// Generous.
fn limits() -> Limits {
    Limits {
        max_image_bytes: 1 << 30,
        quota_bytes: 1 << 30,
        max_uploads: 8,
        max_uploads_of_owner: 8,
        upload_idle: Duration::from_secs(600),
    }
}

/// An image that is like no other of another seed.
fn image(seed: u64, bytes: usize) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    let mut image = vec![0; bytes];
    hasher.finalize_xof().fill(&mut image);
    image
}

/// As bytes come from a caller.
fn copied(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn digest(image: &[u8]) -> ImageDigest {
    ImageDigest(Sha256::digest(image).into())
}

fn begin(store: &Store, owner: &str, image: &[u8], id: &str) -> Result<Upload, StoreError> {
    match store.begin(owner, digest(image), image.len() as u64, id, None)? {
        Begun::Upload(upload) => Ok(upload),
        Begun::Complete { .. } => panic!("it is complete"),
    }
}

/// Uploads the rest of an image and commits it.
fn put(store: &Store, owner: &str, image: &[u8]) -> Result<ImageInfo, StoreError> {
    put_within(store, owner, image, None)
}

/// The same, for an owner that may have so many bytes.
fn put_within(
    store: &Store,
    owner: &str,
    image: &[u8],
    most: Option<u64>,
) -> Result<ImageInfo, StoreError> {
    match store.begin(owner, digest(image), image.len() as u64, ID, most)? {
        Begun::Complete { .. } => store.get(owner, digest(image)),
        Begun::Upload(mut upload) => {
            let offset = upload.committed_offset();
            upload.write(offset, &copied(&image[usize::try_from(offset).unwrap()..]))?;
            upload.commit()
        }
    }
}

/// What is read of an image.
fn read(store: &Store, owner: &str, digest: ImageDigest) -> Result<Vec<u8>, StoreError> {
    let pinned = store.open_image(owner, digest)?;
    let mut bytes = vec![0; usize::try_from(pinned.size()).unwrap()];
    pinned.file().read_exact_at(&mut bytes, 0).unwrap();
    let pieces = stagepages_digest::pieces::piece_digests(&bytes);
    assert_eq!(pieces, pinned.pieces()[..]);
    Ok(bytes)
}

fn blob(dir: &Path, digest: ImageDigest) -> PathBuf {
    dir.join("blobs").join(digest.hex())
}

/// All regular files below the store's directory and their sizes, but for the lock.
fn files(dir: &Path) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(at) = dirs.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let (path, about) = entry
                .map(|entry| (entry.path(), entry.metadata().unwrap()))
                .unwrap();
            let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            if about.is_dir() {
                dirs.push(path);
            } else if name != "lock" {
                found.insert(name, about.len());
            }
        }
    }
    found
}

/// Lets some steps happen. Then it fails, once or for good.
#[derive(Debug)]
struct Script {
    left: AtomicI64,
    only: Option<Step>,
    ever: bool,
    error: io::ErrorKind,
}

impl Script {
    /// The end of the world after some steps: no step is taken any more, so nothing is cleaned up either.
    fn crash_after(steps: i64) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicI64::new(steps),
            only: None,
            ever: true,
            error: io::ErrorKind::Other,
        })
    }

    /// One failure of one kind of step.
    fn fail_once(only: Option<Step>, after: i64, error: io::ErrorKind) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicI64::new(after),
            only,
            ever: false,
            error,
        })
    }

    /// Whether the failure came.
    fn failed(&self) -> bool {
        self.left.load(Ordering::Relaxed) < 0
    }
}

impl Steps for Script {
    fn before(&self, step: Step) -> io::Result<()> {
        if self.only.is_some_and(|only| only != step) {
            return Ok(());
        }
        let left = self.left.fetch_sub(1, Ordering::Relaxed);
        if left == 0 || (left < 0 && self.ever) {
            return Err(self.error.into());
        }
        Ok(())
    }
}
