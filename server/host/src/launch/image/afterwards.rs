//! Pages that are installed before they are known to be right: on `kvm`, where no guest runs before staging is over.
//!
//! **Invariant:** takes the hashes that the ledger has, of what was installed; where these are keyed, those of the same memory.

use stagepages_digest::pieces::{self, PieceDigest, PieceHasher};
use stagepages_kvm::{PAGE_SIZE, PageType};

use super::{Image, PIECE_SIZE, Unproven};
use crate::{
    ledger::{PageHash, hash_is_private},
    platform::Contents,
};

/// Pages that are installed before they are known to be right.
pub(in crate::launch) struct Afterwards<'a> {
    image: Image<'a>,
    hasher: PieceHasher,
    /// The next byte of the image to be hashed.
    at: Option<u64>,
}

impl<'a> Afterwards<'a> {
    /// Nothing is installed yet.
    pub(in crate::launch) fn new(image: Image<'a>) -> Self {
        Self {
            image,
            hasher: PieceHasher::new(),
            at: None,
        }
    }

    /// The next pages of the extent are installed, and hold `contents`; `hashes` are those of the ledger.
    ///
    /// # Errors
    /// A piece that ends in them is not what it ought to be.
    pub(in crate::launch) fn installed(
        &mut self,
        page_type: PageType,
        contents: Contents<'_>,
        hashes: &[PageHash],
    ) -> Result<(), Unproven> {
        let mut at = match self.at {
            Some(at) => at,
            None => self.begin()?,
        };
        let mut add = |hash: &pieces::PageHash| {
            let digest = self.hasher.add(hash);
            let page = at;
            at += PAGE_SIZE;
            digest.map_or(Ok(()), |digest| self.image.compare(page, Some(digest)))
        };
        match contents {
            // The ledger's are keyed.
            Contents::Bytes(bytes) if hash_is_private(page_type) => {
                pieces::page_hashes(bytes).try_for_each(|hash| add(&hash))?;
            }
            Contents::Bytes(_) | Contents::Unknown => {
                hashes.iter().try_for_each(|PageHash(hash)| add(hash))?;
            }
        }
        self.at = Some(at);
        Ok(())
    }

    /// No more of the extent is installed: the piece at hand is read to its end.
    ///
    /// # Errors
    /// It is not what it ought to be.
    pub(in crate::launch) fn end(&mut self) -> Result<(), Unproven> {
        let Some(at) = self.at.filter(|at| at % PIECE_SIZE != 0) else {
            return Ok(());
        };
        let digest = self.hash(at, self.image.piece_end(at))?;
        let digest = self.hasher.finish().or(digest);
        self.at = None;
        self.image.compare(at - 1, digest)
    }

    /// Hashes what is before the extent's first page in its piece.
    fn begin(&mut self) -> Result<u64, Unproven> {
        let at = self.image.offset;
        self.hash(at / PIECE_SIZE * PIECE_SIZE, at)?;
        Ok(at)
    }

    fn hash(&mut self, from: u64, to: u64) -> Result<Option<PieceDigest>, Unproven> {
        let mut digest = None;
        let hasher = &mut self.hasher;
        self.image.read(from, to, |_, bytes| {
            for page in pieces::page_hashes(bytes) {
                digest = hasher.add(&page).or(digest);
            }
            Ok(())
        })?;
        Ok(digest)
    }
}
