//! A non-empty run of guest frames.
//!
//! **Invariant:** a `GfnRange` holds at least one frame and ends at 2^40 at most; no method wraps.

#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroU64;

use crate::addr::FRAMES;
use crate::{Gfn, Gpa, PAGE_SIZE};

/// Consecutive guest frames, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GfnRange {
    start: Gfn,
    pages: NonZeroU64,
}

/// Why there is no such range of guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The address is not that of a page.
    #[error("gpa {gpa} is not page aligned; use a multiple of 0x1000 bytes")]
    UnalignedAddress {
        /// The address.
        gpa: Gpa,
    },
    /// The length is not a whole number of pages.
    #[error(
        "length {len:#x} bytes at gpa {gpa} is not a whole number of pages; use a multiple of 0x1000 bytes"
    )]
    UnalignedLength {
        /// The address.
        gpa: Gpa,
        /// The length in bytes.
        len: u64,
    },
    /// The length is zero.
    #[error("length at gpa {gpa} is zero; use at least 0x1000 bytes")]
    Empty {
        /// The address.
        gpa: Gpa,
    },
    /// The range ends beyond 2^52 bytes.
    #[error(
        "{pages:#x} pages at gpa {gpa} end above 0x10000000000000 bytes, where guest-physical memory ends; use a lower address or fewer pages"
    )]
    BeyondMemory {
        /// The address.
        gpa: Gpa,
        /// The length in pages.
        pages: u64,
    },
}

impl GfnRange {
    /// `pages` frames from `start` on.
    ///
    /// # Errors
    ///
    /// [`RangeError::Empty`] or [`RangeError::BeyondMemory`].
    pub const fn new(start: Gfn, pages: u64) -> Result<Self, RangeError> {
        let gpa = start.gpa();
        match NonZeroU64::new(pages) {
            None => Err(RangeError::Empty { gpa }),
            Some(_) if pages > FRAMES - start.get() => Err(RangeError::BeyondMemory { gpa, pages }),
            Some(pages) => Ok(Self { start, pages }),
        }
    }

    /// `len` bytes from `gpa` on, both as a client gave them.
    ///
    /// # Errors
    ///
    /// Any [`RangeError`]; where several apply, the first in the order of its variants.
    pub const fn from_bytes(gpa: Gpa, len: u64) -> Result<Self, RangeError> {
        if !gpa.is_page_aligned() {
            return Err(RangeError::UnalignedAddress { gpa });
        }
        if !len.is_multiple_of(PAGE_SIZE) {
            return Err(RangeError::UnalignedLength { gpa, len });
        }
        let pages = len / PAGE_SIZE;
        match Gfn::new(gpa.get() / PAGE_SIZE) {
            Some(start) => Self::new(start, pages),
            None if pages == 0 => Err(RangeError::Empty { gpa }),
            None => Err(RangeError::BeyondMemory { gpa, pages }),
        }
    }

    /// The first frame.
    pub const fn start(&self) -> Gfn {
        self.start
    }

    /// The last frame.
    pub const fn last(&self) -> Gfn {
        match self.start.checked_add(self.pages.get() - 1) {
            Some(last) => last,
            // Not reached: `new` bounds the end.
            None => Gfn::MAX,
        }
    }

    /// The number of the frame after the last: at most 2^40, which is no frame.
    pub const fn end_frame(&self) -> u64 {
        self.start.get() + self.pages.get()
    }

    /// The address after the last byte, at most 2^52.
    pub const fn end(&self) -> Gpa {
        Gpa::new(self.end_frame() * PAGE_SIZE)
    }

    /// The length in pages, at least 1.
    pub const fn pages(&self) -> u64 {
        self.pages.get()
    }

    /// The length in bytes, at least 4096.
    pub const fn bytes(&self) -> u64 {
        self.pages.get() * PAGE_SIZE
    }

    /// Whether `gfn` is one of these frames.
    pub const fn contains(&self, gfn: Gfn) -> bool {
        self.start.get() <= gfn.get() && gfn.get() < self.end_frame()
    }

    /// Whether every frame of `other` is one of these.
    pub const fn encloses(&self, other: &Self) -> bool {
        self.start.get() <= other.start.get() && other.end_frame() <= self.end_frame()
    }

    /// Whether the two have a frame in common.
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.start.get() < other.end_frame() && other.start.get() < self.end_frame()
    }

    /// The first `pages` frames, all of them if there are fewer; `None` for zero.
    pub fn take(&self, pages: u64) -> Option<Self> {
        let pages = NonZeroU64::new(pages)?.min(self.pages);
        Some(Self {
            start: self.start,
            pages,
        })
    }

    /// What is left after the first `pages` frames; `None` if nothing is.
    pub fn skip(&self, pages: u64) -> Option<Self> {
        let left = NonZeroU64::new(self.pages.get().checked_sub(pages)?)?;
        Some(Self {
            start: self.start.checked_add(pages)?,
            pages: left,
        })
    }

    /// The frames in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Gfn> + use<> {
        (self.start.get()..self.end_frame()).filter_map(Gfn::new)
    }
}

/// Byte addresses, the end exclusive: `0x1000..0x3000`.
impl fmt::Display for GfnRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start.gpa(), self.end())
    }
}
