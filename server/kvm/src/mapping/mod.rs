//! Mapped memory of a guest, addressed by the index of its pages.
//!
//! Installing a page is three calls here: [`exists`](Mapping::exists) (is it free?), [`populate`](Mapping::populate) (make it exist,
//! as zeros), then [`read_from`](Mapping::read_from) or [`copy_in`](Mapping::copy_in). Two threads do it to a [`Part`] each.
//!
//! **Invariant:** no method reaches beyond the mapping, and while a slice of it is borrowed its bytes do not change.

mod anonymous;
mod part;
mod window;

use std::fmt;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

pub use self::anonymous::Anonymous;
pub use self::part::Part;
pub use self::window::Window;

use crate::guest_memfd::GuestMemfd;
use crate::span::Span;
use crate::{KvmError, PAGE_BYTES, PAGE_SIZE};

/// What lies behind a mapping: a guest_memfd. No hole can be punched into it:
///
/// ```compile_fail,E0599
/// # use stagepages_kvm::{Guest, KvmError, Mapping};
/// fn undo(installed: &mut Mapping<Guest>) -> Result<(), KvmError> {
///     installed.discard(0, 1)
/// }
/// ```
#[derive(Debug)]
pub struct Guest(pub(crate) GuestMemfd);

/// A shared mapping of a whole memory object, which is mapped nowhere else.
///
/// `K` is what lies behind: [`Guest`], or [`Anonymous`] for a model in memory. Pages are named by their index in the mapping, from 0.
/// Mapping costs address space only; a page exists, and costs memory, once it was touched in any way.
pub struct Mapping<K = Guest> {
    // The VM shares it while a memslot names its addresses. It never touches the bytes, so `&mut self` is still exclusive.
    span: Arc<Span>,
    behind: K,
}

impl<K> Mapping<K> {
    pub(crate) fn new(span: Arc<Span>, behind: K) -> Self {
        Self { span, behind }
    }

    /// The size in bytes.
    pub fn bytes(&self) -> u64 {
        self.span.bytes() as u64
    }

    /// The size in pages.
    pub fn page_count(&self) -> u64 {
        self.bytes() / PAGE_SIZE
    }

    /// Makes pages exist and writable, as zeros where they did not exist (`MADV_POPULATE_WRITE`, Linux 5.14). Contents stay.
    ///
    /// Afterwards neither reading nor writing them can raise a signal for want of memory.
    ///
    /// # Errors
    ///
    /// `ENOMEM` without memory, `EHWPOISON` for a broken page, `EFAULT` where a plain access would raise SIGBUS, `EINTR` if a fatal
    /// signal is pending (`madvise_populate()`, `mm/madvise.c`). Pages before the one that failed may then exist.
    pub fn populate(&mut self, first: u64, pages: u64) -> Result<(), KvmError> {
        self.part_for("madvise MADV_POPULATE_WRITE", first, pages)?
            .populate()
    }

    /// Reads a file, from byte `offset` on, into pages from `first` on. Returns the number of bytes, which is short at the end of
    /// the file, at 2 GiB less a page, and before a page that could not be written.
    ///
    /// # Errors
    ///
    /// `EFAULT` where a plain access would raise a signal; else what the file's own reading fails with. The pages' contents are then
    /// unknown.
    pub fn read_from(
        &mut self,
        first: u64,
        pages: u64,
        file: BorrowedFd<'_>,
        offset: u64,
    ) -> Result<usize, KvmError> {
        self.part_for("pread", first, pages)?
            .read_from(file, offset)
    }

    /// Copies `bytes` to the pages from `first` on. A last page that is not filled keeps the rest of its contents.
    ///
    /// A plain access: populate the pages first, or a failure of memory is a SIGBUS.
    ///
    /// # Errors
    ///
    /// [`KvmError::OutOfBounds`].
    pub fn copy_in(&mut self, first: u64, bytes: &[u8]) -> Result<(), KvmError> {
        let pages = bytes.len().div_ceil(PAGE_BYTES) as u64;
        let (addr, _length) = self.locate("copy", first, pages)?;
        // SAFETY: writes `bytes.len()` bytes at `addr`: inside the span, because they are no more than the pages located, and mapped
        // writable. `&mut self` makes this the only access, so `bytes` is elsewhere.
        unsafe { addr.copy_from_nonoverlapping(NonNull::from_ref(bytes).cast(), bytes.len()) };
        Ok(())
    }

    /// The contents of some pages.
    ///
    /// A plain access: reading a page that does not exist makes it exist, or is a SIGBUS for want of memory.
    ///
    /// # Errors
    ///
    /// [`KvmError::OutOfBounds`].
    pub fn pages(&self, first: u64, pages: u64) -> Result<&[u8], KvmError> {
        let (addr, length) = self.locate("read", first, pages)?;
        // SAFETY: `length` bytes at `addr` are mapped readable as long as `self` lives. Nothing writes them while the slice is borrowed:
        // through `self` that takes `&mut self`, the memory has no other mapping and its descriptor is never lent, and a vCPU runs
        // only once `self` was given up.
        Ok(unsafe { slice::from_raw_parts(addr.as_ptr(), length) })
    }

    /// Asks which pages exist, without touching them: bit 0 of `out[i]` tells of page `first + i`. Other bits mean nothing.
    ///
    /// For a guest_memfd it is the page being *up to date*: touched, not merely allocated (`mincore_page()`, `mm/mincore.c`, seen on Linux
    /// 6.18). It is the truth only for the user who owns the memory's inode, which is its creator: others are told that every page is
    /// there (`can_do_mincore()`). Memory that is not a guest_memfd may be swapped out, and is then not there.
    ///
    /// # Errors
    ///
    /// [`KvmError::OutOfBounds`], `EAGAIN`.
    pub fn exists(&self, first: u64, out: &mut [u8]) -> Result<(), KvmError> {
        const OP: &str = "mincore";
        let (addr, length) = self.locate(OP, first, out.len() as u64)?;
        // SAFETY: the kernel reads and writes nothing of the span. It writes one byte of `out`, borrowed mutably, for each page of
        // `length`, which was made from the length of `out`.
        let ret = unsafe { libc::mincore(addr.as_ptr().cast(), length, out.as_mut_ptr()) };
        if ret == 0 {
            Ok(())
        } else {
            Err(KvmError::last(OP))
        }
    }

    /// Where pages are; an error unless all are inside.
    pub(crate) fn locate(
        &self,
        op: &'static str,
        first: u64,
        pages: u64,
    ) -> Result<(NonNull<u8>, usize), KvmError> {
        let total = self.page_count();
        self.span.pages(first, pages).ok_or(KvmError::OutOfBounds {
            op,
            first,
            pages,
            total,
        })
    }
}

impl Mapping<Guest> {
    /// The guest_memfd that is mapped.
    pub fn memory(&self) -> &GuestMemfd {
        &self.behind.0
    }

    pub(crate) fn span(&self) -> &Arc<Span> {
        &self.span
    }
}

impl<K> fmt::Debug for Mapping<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping")
            .field("bytes", &self.span.bytes())
            .finish_non_exhaustive()
    }
}
