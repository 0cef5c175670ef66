//! A piece of an image in memory that nobody else reaches, checked before anything of it is installed.
//!
//! **Invariant:** gives out no page of a piece that was not found right as a whole.

use std::{fs::File, os::unix::fs::FileExt as _};

use nix::{
    fcntl::{FallocateFlags, fallocate},
    sys::memfd::{MFdFlags, memfd_create},
};
use stagepages_digest::pieces::{self, PieceHasher};
use stagepages_kvm::PAGE_SIZE;

use super::{Image, PIECE_SIZE, Unproven};
use crate::platform::Source;

/// A private copy of one piece at a time, to install from.
pub(in crate::launch) struct Copy<'a> {
    image: Image<'a>,
    memory: File,
    /// Where the piece that is in memory begins in the image.
    holds: Option<u64>,
}

impl<'a> Copy<'a> {
    /// Holds nothing yet.
    ///
    /// # Errors
    /// [`Unproven::NoMemory`].
    pub(in crate::launch) fn new(image: Image<'a>) -> Result<Self, Unproven> {
        // Of this process alone: no name, no mapping, no other descriptor.
        let memory = memfd_create(c"stagepages-piece", MFdFlags::MFD_CLOEXEC)
            .map_err(|errno| Unproven::NoMemory(errno.into()))?;
        let memory = File::from(memory);
        // Before the first page, where a want of memory costs nothing.
        let length = PIECE_SIZE.min(image.proof.size).cast_signed();
        fallocate(&memory, FallocateFlags::empty(), 0, length)
            .map_err(|errno| Unproven::NoMemory(errno.into()))?;
        Ok(Self {
            image,
            memory,
            holds: None,
        })
    }

    /// The source of the pages behind the extent's first `done`, and how many of them it has: at most `pages`, at least one, all of one piece that was checked.
    ///
    /// # Errors
    /// The piece is not what it ought to be; nothing of it was given out.
    pub(in crate::launch) fn source(
        &mut self,
        done: u64,
        pages: u64,
    ) -> Result<(Source<'_>, u64), Unproven> {
        let at = self.image.offset + done * PAGE_SIZE;
        let from = at / PIECE_SIZE * PIECE_SIZE;
        let to = self.image.piece_end(at);
        if self.holds != Some(from) {
            self.holds = None;
            let mut hasher = PieceHasher::new();
            let mut digest = None;
            let memory = &self.memory;
            self.image.read(from, to, |at, bytes| {
                for page in pieces::page_hashes(bytes) {
                    digest = hasher.add(&page).or(digest);
                }
                memory
                    .write_all_at(bytes, at - from)
                    .map_err(Unproven::NoMemory)
            })?;
            self.image.compare(at, hasher.finish().or(digest))?;
            self.holds = Some(from);
        }
        let left = to.saturating_sub(at) / PAGE_SIZE;
        Ok((
            Source::File((&self.memory).into(), at - from),
            left.min(pages),
        ))
    }
}
