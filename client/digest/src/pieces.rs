//! Digests of an image's pieces, with which a part of it is checked without reading the rest.
//!
//! ```text
//!  image   │ piece 0: 2 MiB           │ piece 1: 2 MiB           │ piece 2: what is left │
//!            └ 512 pages of 4096 bytes, the last one of the image padded with zeros
//!  digest of a piece = BLAKE3-256 over the BLAKE3-256 hashes of its pages, one after the other
//! ```
//!
//! Why not SHA-256 over the bytes of a piece: a launch host hashes every page that it installs with BLAKE3 anyway, for its ledger. From these hashes a
//! piece is checked for 1 % more work (32 bytes are hashed for each 4096), and what is checked is what is on record as installed. SHA-256 would read all
//! of it a second time. (Pages whose hashes are private are keyed in the ledger: of these few a plain hash is made besides.)
//!
//! **Invariant:** one run of pages has one list of digests, however it was cut on its way here.

use crate::PAGE_BYTES;

/// Bytes of a piece; the last one of an image may have fewer.
pub const PIECE_BYTES: usize = 2 << 20;

/// Pages of a piece.
pub const PIECE_PAGES: usize = PIECE_BYTES / PAGE_BYTES;

/// Bytes of a page's hash, and of a piece's digest.
pub const HASH_BYTES: usize = 32;

/// BLAKE3-256 of a page's 4096 bytes, as ledgers have it.
pub type PageHash = [u8; HASH_BYTES];

/// BLAKE3-256 of 4096 zeros. Images are full of them, and comparing is many times as fast as hashing.
const ZERO_PAGE_HASH: PageHash = [
    0xb6, 0xfb, 0x73, 0xfc, 0x46, 0x93, 0x8c, 0x98, 0x1e, 0x2b, 0x0b, 0x4b, 0x1e, 0xf2, 0x82, 0xad,
    0xcf, 0xc8, 0x98, 0x54, 0xd0, 0x1b, 0xfe, 0x39, 0x72, 0xfd, 0xc4, 0x78, 0x5b, 0x41, 0xb2, 0xc7,
];

/// The digest of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PieceDigest(pub [u8; HASH_BYTES]);

/// Makes digests of pieces from the hashes of their pages, which come in order.
#[derive(Debug, Clone)]
pub struct PieceHasher {
    /// Of the piece at hand, at most 16 KiB: hashed at once, which is several times as fast as 32 bytes at a time.
    hashes: Vec<u8>,
}

impl PieceHasher {
    /// At the beginning of a piece.
    #[must_use]
    pub fn new() -> Self {
        Self {
            hashes: Vec::with_capacity(PIECE_PAGES * HASH_BYTES),
        }
    }

    /// Takes the hash of the next page. With the last page of a full piece comes its digest, and the next piece begins. Allocates nothing.
    pub fn add(&mut self, page: &PageHash) -> Option<PieceDigest> {
        self.hashes.extend_from_slice(page);
        if self.hashes.len() < PIECE_PAGES * HASH_BYTES {
            return None;
        }
        self.finish()
    }

    /// Ends a piece that is shorter than others: that of the image's last pages. `None` where the image ended with the piece before.
    pub fn finish(&mut self) -> Option<PieceDigest> {
        if self.hashes.is_empty() {
            return None;
        }
        let digest = PieceDigest(blake3::hash(&self.hashes).into());
        self.hashes.clear();
        Some(digest)
    }
}

impl Default for PieceHasher {
    fn default() -> Self {
        Self::new()
    }
}

/// The hashes of all pages of `bytes`, which begin on a page. A last page that ends early is padded with zeros.
pub fn page_hashes(bytes: &[u8]) -> impl Iterator<Item = PageHash> + '_ {
    let (pages, rest) = bytes.as_chunks::<PAGE_BYTES>();
    let last = (!rest.is_empty()).then(|| {
        let mut page = [0; PAGE_BYTES];
        for (to, from) in page.iter_mut().zip(rest) {
            *to = *from;
        }
        page_hash(&page)
    });
    pages.iter().map(page_hash).chain(last)
}

/// The hash of a page.
#[must_use]
pub fn page_hash(page: &[u8; PAGE_BYTES]) -> PageHash {
    if *page == crate::ZERO_PAGE {
        ZERO_PAGE_HASH
    } else {
        blake3::hash(page).into()
    }
}

/// The digests of all pieces of `bytes`, which begin on a piece.
#[must_use]
pub fn piece_digests(bytes: &[u8]) -> Vec<PieceDigest> {
    let mut hasher = PieceHasher::new();
    let mut digests: Vec<_> = page_hashes(bytes)
        .filter_map(|page| hasher.add(&page))
        .collect();
    digests.extend(hasher.finish());
    digests
}

/// How many pieces an image of `bytes` has.
#[must_use]
pub const fn count(bytes: u64) -> u64 {
    bytes.div_ceil(PIECE_BYTES as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, without any of the shortcuts.
    fn defined(bytes: &[u8]) -> Vec<PieceDigest> {
        let piece = |piece: &[u8]| {
            let mut hashes = blake3::Hasher::new();
            for page in piece.chunks(PAGE_BYTES) {
                let mut padded = page.to_vec();
                padded.resize(PAGE_BYTES, 0);
                hashes.update(blake3::hash(&padded).as_bytes());
            }
            PieceDigest(hashes.finalize().into())
        };
        bytes.chunks(PIECE_BYTES).map(piece).collect()
    }

    #[test]
    fn the_constant_is_the_hash_of_a_zero_page() {
        let computed: PageHash = blake3::hash(&crate::ZERO_PAGE).into();
        assert_eq!(ZERO_PAGE_HASH, computed);
    }

    #[test]
    fn an_image_that_ends_with_a_piece_has_no_empty_one_behind_it() {
        for (bytes, pieces) in [
            (0, 0),
            (1, 1),
            (PIECE_BYTES, 1),
            (PIECE_BYTES + 1, 2),
            (2 * PIECE_BYTES, 2),
        ] {
            let image = vec![7; bytes];
            assert_eq!(piece_digests(&image).len(), pieces);
            assert_eq!(count(bytes as u64), pieces as u64);
            assert_eq!(piece_digests(&image), defined(&image));
        }
    }

    #[test]
    fn a_page_that_is_cut_short_counts_as_one_padded_with_zeros_and_as_no_other() {
        let short = piece_digests(&[1; 5000]);
        let mut padded = vec![1; 5000];
        padded.resize(8192, 0);
        assert_eq!(short, piece_digests(&padded));
        padded[8191] = 1;
        assert_ne!(short, piece_digests(&padded));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn digests_are_as_defined_and_every_byte_counts(
            seed in any::<u64>(),
            bytes in 1..3 * PIECE_BYTES,
            zeros in any::<proptest::sample::Index>(),
            flipped in any::<proptest::sample::Index>(),
        ) {
            let mut image = vec![0; bytes];
            blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut image);
            let hole = zeros.index(bytes);
            image[hole..].iter_mut().take(3 * PAGE_BYTES).for_each(|byte| *byte = 0);
            let whole = piece_digests(&image);
            prop_assert_eq!(&whole, &defined(&image));
            let at = flipped.index(bytes);
            image[at] ^= 0x10;
            let changed = piece_digests(&image);
            let differ: Vec<_> = (0..whole.len()).filter(|piece| whole[*piece] != changed[*piece]).collect();
            prop_assert_eq!(differ, vec![at / PIECE_BYTES]);
        }
    }
}
