//! An image on this side of the connection: bytes that can be read again, and the name that follows from them.
//!
//! **Invariant:** reads on a thread that may block, a bounded piece at a time.

use std::{fmt, io, sync::Arc};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::ImageName;

/// Bytes that are read and hashed at once.
const BLOCK: u64 = 1 << 20;

/// Bytes that can be read from anywhere, again and again.
pub trait ReadAt: Send + Sync {
    /// How many.
    fn length(&self) -> u64;

    /// Fills `out` with those from `at` on.
    ///
    /// # Errors
    /// There are fewer, or they cannot be read.
    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<()>;

    /// The `length` bytes from `at` on as a part of what is in memory already, which is sent without a copy. `None` where they have to be read: always,
    /// unless an implementation knows better.
    fn in_memory(&self, _at: u64, _length: usize) -> Option<Bytes> {
        None
    }
}

impl ReadAt for Bytes {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        let found = self.in_memory(at, out.len());
        out.copy_from_slice(&found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn in_memory(&self, at: u64, length: usize) -> Option<Bytes> {
        let from = usize::try_from(at).ok()?;
        let to = from.checked_add(length).filter(|to| *to <= self.len())?;
        Some(self.slice(from..to))
    }
}

/// An image that can be pushed. Cheap to clone.
#[derive(Clone)]
pub struct LocalImage {
    name: ImageName,
    bytes: Arc<dyn ReadAt>,
}

impl LocalImage {
    /// Reads all of `bytes` once for their name, telling `progress` how many were read.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn of(
        bytes: impl ReadAt + 'static,
        mut progress: impl FnMut(u64),
    ) -> io::Result<Self> {
        let bytes: Arc<dyn ReadAt> = Arc::new(bytes);
        let (done, mut told) = watch::channel(0);
        let source = Arc::clone(&bytes);
        let mut hashing = std::pin::pin!(blocking(move || hash(&*source, &done)));
        loop {
            tokio::select! {
                biased;
                digest = &mut hashing => {
                    let name = ImageName::of_digest(digest??);
                    return Ok(Self { name, bytes });
                }
                Ok(()) = told.changed() => progress(*told.borrow_and_update()),
            }
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> ImageName {
        self.name
    }

    /// Bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.bytes.length()
    }

    pub(super) fn bytes(&self) -> &dyn ReadAt {
        &*self.bytes
    }
}

impl fmt::Debug for LocalImage {
    /// Without the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {:#x} bytes", self.name, self.size())
    }
}

/// Runs what reads files where that holds nobody up.
#[expect(
    clippy::disallowed_methods,
    reason = "reads the caller's bytes, which are no kernel work of a launch"
)]
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    (tokio::task::spawn_blocking(work).await).map_err(io::Error::other)
}

fn hash(bytes: &dyn ReadAt, done: &watch::Sender<u64>) -> io::Result<[u8; 32]> {
    let (length, mut at) = (bytes.length(), 0);
    let room = usize::try_from(length.min(BLOCK)).unwrap_or(0);
    let (mut block, mut hasher) = (vec![0; room], Sha256::new());
    while at < length {
        let part = usize::try_from(length - at).map_or(room, |left| left.min(room));
        let part = block.get_mut(..part).unwrap_or_default();
        bytes.read_at(at, part)?;
        hasher.update(&*part);
        at += part.len() as u64;
        if done.send(at).is_err() {
            // Nobody waits for it any more.
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    Ok(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_name_is_the_sha256_of_all_bytes() {
        // FIPS 180-2, appendix B.1.
        let image = LocalImage::of(Bytes::from_static(b"abc"), |_| {}).await;
        assert_eq!(
            image.unwrap().name().to_string(),
            "images/sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let bytes: Vec<u8> = (0..=250).cycle().take(5 << 19).collect();
        let whole = Sha256::digest(&bytes);
        let image = LocalImage::of(Bytes::from(bytes), |_| {}).await.unwrap();
        assert_eq!(
            (&image.name().digest()[..], image.size()),
            (&whole[..], 5 << 19)
        );
    }

    #[tokio::test]
    async fn bytes_that_end_early_have_no_name() {
        struct Shrunk;
        impl ReadAt for Shrunk {
            fn length(&self) -> u64 {
                4096
            }
            fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
                Bytes::from_static(b"abc").read_at(at, out)
            }
        }
        let error = LocalImage::of(Shrunk, |_| {}).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
