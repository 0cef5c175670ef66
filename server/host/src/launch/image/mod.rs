//! Extents whose contents are part of a stored image: the bytes are held against the digests that were made when the image was committed.
//!
//! ```text
//!  most platforms   image ──read──▶ private copy of a piece ──hashed, equal?──▶ installed from the copy
//!  kvm              image ──read──▶ guest memory ──hashed for the ledger──▶ piece whole: equal? else the launch is over, and no guest ever runs on it
//! ```
//!
//! A piece ([`stagepages_digest::pieces`]) is 2 MiB, and its digest is made of the hashes of its pages. Of a piece that the extent covers in part the other pages are read
//! and hashed too, and installed nowhere. On `kvm` copying costs as much as all else together, so there it is done once.
//!
//! **Invariant:** what is compared is what is installed, not what a file held at another moment. A file that somebody truncates is an error, never a signal.

mod afterwards;
mod copy;

use std::{io, os::unix::fs::FileExt as _};

use stagepages_digest::pieces::{PIECE_BYTES, PieceDigest};
use stagepages_kvm::{GfnRange, PAGE_BYTES, PAGE_SIZE};

use super::{Extent, Reason, Refusal};
use crate::platform::{Chunk, PlatformKind, Source, SourceFile};

pub(super) use afterwards::Afterwards;
use copy::Copy;

/// Pages that are read at once.
const WINDOW_BYTES: usize = 64 * PAGE_BYTES;

const PIECE_SIZE: u64 = PIECE_BYTES as u64;

/// What the bytes of an image have to be.
#[derive(Debug, Clone, Copy)]
pub struct Proof<'a> {
    /// Bytes of the whole image. The extent ends before them.
    pub size: u64,
    /// Digests of its pieces, from the one on in which the extent's source begins.
    pub pieces: &'a [PieceDigest],
}

/// The image does not hold what it ought to, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unproven {
    /// It holds something else.
    #[error("bytes {from:#x} to {to:#x} of the image are not those that were committed")]
    Changed { from: u64, to: u64 },
    /// It ends early, or cannot be read.
    #[error("bytes from {at:#x} on of the image cannot be read: {error}")]
    Unread { at: u64, error: io::Error },
    /// The daemon sent too few digests, which no daemon does.
    #[error("no digest came with the piece at byte {at:#x} of the image")]
    NoDigest { at: u64 },
    /// There is no memory for a copy.
    #[error("there is no memory for a private copy: {0}")]
    NoMemory(io::Error),
}

/// An image as an extent's source: the file, and where the extent begins in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Image<'a> {
    file: SourceFile<'a>,
    offset: u64,
    proof: Proof<'a>,
}

impl<'a> Image<'a> {
    /// The image behind a source, if it is one.
    pub(super) fn of(source: Source<'a>, proof: Option<Proof<'a>>) -> Option<Self> {
        let Source::File(file, offset) = source else {
            return None;
        };
        proof.map(|proof| Self {
            file,
            offset,
            proof,
        })
    }

    /// Checks that `digest` is that of the piece in which byte `at` is.
    fn compare(&self, at: u64, digest: Option<PieceDigest>) -> Result<(), Unproven> {
        let piece = at / PIECE_SIZE;
        let nth = usize::try_from(piece - self.offset / PIECE_SIZE).ok();
        let known = nth.and_then(|nth| self.proof.pieces.get(nth));
        let from = piece * PIECE_SIZE;
        match known {
            None => Err(Unproven::NoDigest { at: from }),
            Some(known) if Some(*known) == digest => Ok(()),
            Some(_) => Err(Unproven::Changed {
                from,
                to: from.saturating_add(PIECE_SIZE).min(self.proof.size),
            }),
        }
    }

    /// Reads the image from byte `from` to byte `to`, both in pages, and gives each part of it to `each`. Behind the image's end come zeros, up to the page's.
    fn read(
        &self,
        from: u64,
        to: u64,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), Unproven>,
    ) -> Result<(), Unproven> {
        let mut window = vec![0; WINDOW_BYTES];
        let mut at = from;
        while at < to {
            let length =
                usize::try_from(to - at).map_or(WINDOW_BYTES, |left| left.min(WINDOW_BYTES));
            let there = usize::try_from(self.proof.size.saturating_sub(at)).unwrap_or(length);
            let (Some(part), there) = (window.get_mut(..length), there.min(length)) else {
                break;
            };
            let (bytes, behind) = part.split_at_mut(there);
            self.file
                .read_exact_at(bytes, at)
                .map_err(|error| Unproven::Unread { at, error })?;
            behind.fill(0);
            each(at, part)?;
            at += length as u64;
        }
        Ok(())
    }

    /// Where the piece of byte `at` ends, in whole pages.
    fn piece_end(&self, at: u64) -> u64 {
        let end = (at / PIECE_SIZE + 1).saturating_mul(PIECE_SIZE);
        end.min(self.proof.size.next_multiple_of(PAGE_SIZE))
    }
}

/// How an extent's image is checked.
pub(super) enum Check<'a> {
    /// There is none.
    None,
    /// Before it is installed.
    Before(Copy<'a>),
    /// Afterwards.
    After(Afterwards<'a>),
}

impl<'a> Check<'a> {
    /// How that of `extent` is.
    ///
    /// # Errors
    /// [`Unproven::NoMemory`].
    pub(super) fn new(extent: &Extent<'a>, kind: PlatformKind) -> Result<Self, Unproven> {
        Ok(match Image::of(extent.source, extent.proof) {
            None => Self::None,
            Some(image) if kind == PlatformKind::Kvm => Self::After(Afterwards::new(image)),
            Some(image) => Self::Before(Copy::new(image)?),
        })
    }

    /// The first pages of `rest`, which are behind the extent's first `done`, with their contents; and who is to be told what was installed.
    ///
    /// # Errors
    /// The image is not what it ought to be; nothing of these pages may be installed.
    pub(super) fn next(
        &mut self,
        extent: &Extent<'a>,
        done: u64,
        rest: GfnRange,
    ) -> Result<(Chunk<'_>, Option<&mut Afterwards<'a>>), Unproven> {
        let (source, range, after) = match self {
            Self::None => (extent.source.skip(done * PAGE_SIZE), rest, None),
            Self::After(after) => (extent.source.skip(done * PAGE_SIZE), rest, Some(after)),
            Self::Before(copy) => {
                let (source, pages) = copy.source(done, rest.pages())?;
                (source, rest.take(pages).unwrap_or(rest), None)
            }
        };
        let page_type = extent.page_type;
        Ok((
            Chunk {
                range,
                page_type,
                source,
            },
            after,
        ))
    }

    /// No more of the extent is installed.
    ///
    /// # Errors
    /// What is installed is not what it ought to be.
    pub(super) fn end(&mut self) -> Result<(), Unproven> {
        match self {
            Self::None | Self::Before(_) => Ok(()),
            Self::After(after) => after.end(),
        }
    }
}

impl Unproven {
    /// What is told of it, after `done` pages of the extent.
    pub(super) fn refusal(&self, extent: &Extent<'_>, done: u64) -> Refusal {
        let (reason, way_out) = match self {
            Self::Changed { .. } | Self::Unread { .. } => {
                (Reason::ImageCorrupt, "write the image again")
            }
            Self::NoDigest { .. } => (Reason::MalformedRequest, "send one for each piece"),
            Self::NoMemory(_) => (Reason::NoCapacity, "try again when memory is free"),
        };
        let outcome = match done {
            0 => String::new(),
            _ => format!("; {done} pages of the extent were installed, and the launch is over"),
        };
        let refusal = Refusal::new(reason, format!("{self}{outcome}: {way_out}"))
            .at(extent.range.start().gpa(), extent.page_type);
        Refusal {
            installed_pages: done,
            ..refusal
        }
    }
}
