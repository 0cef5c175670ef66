//! What is made of an image's bytes: its own digest, and those of its pieces.
//!
//! **Invariant:** what comes out depends on the bytes alone, and not on how they were cut on their way here.

use sha2::{Digest as _, Sha256};
use stagepages_digest::{
    PAGE_BYTES,
    pieces::{PieceDigest, PieceHasher, page_hash, page_hashes},
};

use crate::ImageDigest;

/// Takes bytes in their order.
pub(crate) trait Hash: Default + Send + 'static {
    /// What comes of them.
    type Out: Send + 'static;

    /// Takes the next ones.
    fn add(&mut self, bytes: &[u8]);

    /// There are no more.
    fn finish(self) -> Self::Out;
}

/// SHA-256 over all bytes.
#[derive(Debug, Default)]
pub(crate) struct Whole(Sha256);

impl Hash for Whole {
    type Out = ImageDigest;

    fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(self) -> ImageDigest {
        ImageDigest(self.0.finalize().into())
    }
}

/// The digests of pieces.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    done: Vec<PieceDigest>,
    hasher: PieceHasher,
    /// A page that has begun: less than one.
    page: Vec<u8>,
}

impl Hash for Pieces {
    type Out = Vec<PieceDigest>;

    fn add(&mut self, mut bytes: &[u8]) {
        if !self.page.is_empty() {
            let (head, rest) = bytes.split_at(bytes.len().min(PAGE_BYTES - self.page.len()));
            self.page.extend_from_slice(head);
            bytes = rest;
            if let Ok(page) = self.page.as_slice().try_into() {
                self.done.extend(self.hasher.add(&page_hash(page)));
                self.page.clear();
            }
        }
        let (pages, rest) = bytes.as_chunks::<PAGE_BYTES>();
        for page in pages {
            self.done.extend(self.hasher.add(&page_hash(page)));
        }
        self.page.extend_from_slice(rest);
    }

    fn finish(mut self) -> Vec<PieceDigest> {
        for page in page_hashes(&self.page) {
            self.done.extend(self.hasher.add(&page));
        }
        self.done.extend(self.hasher.finish());
        self.done
    }
}

#[cfg(test)]
mod tests {
    use stagepages_digest::pieces::{PIECE_BYTES, piece_digests};

    use super::*;

    #[test]
    fn bytes_are_hashed_alike_however_they_are_cut() {
        let image: Vec<u8> = (0..=250).cycle().take(PIECE_BYTES + 300_001).collect();
        for step in [1, 4095, 4096, 4097, 300_000, image.len()] {
            let (mut whole, mut pieces) = (Whole::default(), Pieces::default());
            for part in image.chunks(step) {
                whole.add(part);
                pieces.add(part);
            }
            assert_eq!(whole.finish().0, <[u8; 32]>::from(Sha256::digest(&image)));
            assert_eq!(pieces.finish(), piece_digests(&image));
        }
        assert_eq!(Pieces::default().finish(), []);
    }
}
