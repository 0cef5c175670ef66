//! What lies beside an image's bytes: its size, and the digests of its pieces.
//!
//! ```text
//!  magic     a line of text
//!  size      8 bytes, little-endian
//!  image     32 bytes: SHA-256 over the image, which is also the file's name
//!  pieces    32 bytes each, as many as the size has
//!  checksum  32 bytes: BLAKE3-256 over all of the above
//! ```
//!
//! **Invariant:** a sidecar that differs in one bit from what was written is not read.

use std::{
    fs::File,
    io::{self, Read as _},
    sync::Arc,
};

use stagepages_digest::pieces::{HASH_BYTES, PieceDigest, count};

use crate::ImageDigest;

const MAGIC: &[u8] = b"stagepages pieces 1\n";

/// Bytes of a sidecar without its pieces.
const FRAME: usize = MAGIC.len() + 8 + 2 * HASH_BYTES;

/// Largest image that a sidecar is made of: what is in memory of one while it is read is 64 MiB.
pub(crate) const MAX_IMAGE_BYTES: u64 = 4 << 40;

/// The digests of an image's pieces, in order.
pub(crate) type Pieces = Arc<[PieceDigest]>;

/// The contents of the file.
pub(crate) fn encode(image: ImageDigest, size: u64, pieces: &[PieceDigest]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FRAME + pieces.len() * HASH_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&size.to_le_bytes());
    bytes.extend_from_slice(&image.0);
    for piece in pieces {
        bytes.extend_from_slice(&piece.0);
    }
    let checksum = blake3::hash(&bytes);
    bytes.extend_from_slice(checksum.as_bytes());
    bytes
}

/// The pieces of an image of `size` bytes, if `bytes` is its sidecar.
pub(crate) fn decode(image: ImageDigest, size: u64, bytes: &[u8]) -> Option<Pieces> {
    let (body, checksum) = bytes.split_last_chunk::<HASH_BYTES>()?;
    if blake3::hash(body) != *checksum {
        return None;
    }
    let rest = body.strip_prefix(MAGIC)?;
    let rest = rest.strip_prefix(&size.to_le_bytes())?;
    let rest = rest.strip_prefix(&image.0)?;
    let (pieces, []) = rest.as_chunks::<HASH_BYTES>() else {
        return None;
    };
    (pieces.len() as u64 == count(size)).then(|| pieces.iter().copied().map(PieceDigest).collect())
}

/// Reads the sidecar of an image of `size` bytes; `None` if it is not that.
///
/// # Errors
/// The kernel's.
pub(crate) fn read(image: ImageDigest, size: u64, file: &File) -> io::Result<Option<Pieces>> {
    let length = file.metadata()?.len();
    // Before anything is made as large as it says.
    if size > MAX_IMAGE_BYTES || length != FRAME as u64 + count(size) * HASH_BYTES as u64 {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.take(length).read_to_end(&mut bytes)?;
    Ok(decode(image, size, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sidecar_is_read_that_was_changed_cut_or_extended() {
        let image = ImageDigest([7; 32]);
        let size = (4 << 20) + 1;
        let pieces = [1, 2, 3].map(|piece| PieceDigest([piece; 32]));
        let written = encode(image, size, &pieces);
        assert_eq!(decode(image, size, &written).as_deref(), Some(&pieces[..]));
        for at in 0..written.len() {
            for bit in 0..8 {
                let mut flipped = written.clone();
                flipped[at] ^= 1 << bit;
                assert_eq!(decode(image, size, &flipped), None, "byte {at}, bit {bit}");
            }
            assert_eq!(decode(image, size, &written[..at]), None, "cut at {at}");
        }
        let longer = [&written[..], &[0]].concat();
        assert_eq!(decode(image, size, &longer), None);
    }

    #[test]
    fn the_sidecar_of_another_image_is_not_taken() {
        let image = ImageDigest([7; 32]);
        let written = encode(image, 4096, &[PieceDigest([1; 32])]);
        assert_eq!(decode(ImageDigest([8; 32]), 4096, &written), None);
        assert_eq!(decode(image, 4097, &written), None);
        let two = encode(image, 4096, &[PieceDigest([1; 32]); 2]);
        assert_eq!(decode(image, 4096, &two), None);
    }
}
