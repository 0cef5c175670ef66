//! A buffer of private, page-aligned memory for page contents on their way into a guest.
//!
//! Firmware and the kernel read launch pages from here, so no one else may be able to change them in between.
//!
//! **Invariant:** the memory is never shared with another process, never printed nor in a core dump, and overwritten before it goes
//! back.

use std::fmt;
use std::io;
use std::slice;

use crate::PAGE_BYTES;
use crate::span::Span;

/// Page-aligned private memory, zero at first and wiped when dropped.
pub struct PageBuf {
    span: Span,
}

impl PageBuf {
    /// Maps `pages` pages of zeros. Memory is taken when a page is first touched, or by [`lock`](Self::lock).
    ///
    /// # Errors
    ///
    /// `EINVAL` for zero pages, `ENOMEM` where there is no room.
    pub fn new(pages: usize) -> io::Result<Self> {
        let bytes = pages
            .checked_mul(PAGE_BYTES)
            .ok_or(io::ErrorKind::OutOfMemory)?;
        Span::private(bytes).map(|span| Self { span })
    }

    /// Takes memory for the whole buffer and keeps it out of swap.
    ///
    /// # Errors
    ///
    /// `ENOMEM` or `EPERM` beyond the limit on locked memory (RLIMIT_MEMLOCK); the buffer can be used all the same.
    pub fn lock(&mut self) -> io::Result<()> {
        // SAFETY: the kernel makes the buffer's pages resident and changes no byte. The range is exactly the span that `self`
        // owns, borrowed for the call.
        let ret = unsafe { libc::mlock(self.span.addr().as_ptr().cast(), self.span.bytes()) };
        if ret == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Overwrites the first `pages` pages, or all if it has no more, with zeros.
    pub fn wipe(&mut self, pages: u64) {
        let bytes =
            usize::try_from(pages).map_or(usize::MAX, |pages| pages.saturating_mul(PAGE_BYTES));
        let wiped = bytes.min(self.span.bytes());
        // A plain fill of memory that is unmapped next is a dead store; this one the compiler keeps.
        // SAFETY: writes `wiped` bytes at the start of the span, which has as many, is mapped writable, and is borrowed mutably with `self`.
        unsafe { libc::explicit_bzero(self.span.addr().as_ptr().cast(), wiped) };
    }

    /// The size in pages.
    pub fn page_count(&self) -> u64 {
        (self.span.bytes() / PAGE_BYTES) as u64
    }

    /// The address of the first page, for the kernel to read while `self` is borrowed.
    pub(crate) fn expose(&self) -> u64 {
        self.span.addr().as_ptr().expose_provenance() as u64
    }

    /// The address of the first page, for the kernel to read and write while `self` is borrowed mutably.
    pub(crate) fn expose_mut(&mut self) -> u64 {
        self.expose()
    }

    /// The contents.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: the span is mapped readable, as long as `self` lives, and initialised (zeros at first). Only `self` knows its
        // address, and writing needs `&mut self`. The length is that of the mapping.
        unsafe { slice::from_raw_parts(self.span.addr().as_ptr(), self.span.bytes()) }
    }

    /// The contents, to be written.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`, and mapped writable; `&mut self` makes this the only reference.
        unsafe { slice::from_raw_parts_mut(self.span.addr().as_ptr(), self.span.bytes()) }
    }
}

impl fmt::Debug for PageBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageBuf")
            .field("bytes", &self.span.bytes())
            .finish_non_exhaustive()
    }
}

impl Drop for PageBuf {
    fn drop(&mut self) {
        self.wipe(self.page_count());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::vm_flags;

    #[test]
    fn a_buffer_is_aligned_zero_and_writable() {
        let mut buf = PageBuf::new(3).unwrap();
        assert_eq!(buf.page_count(), 3);
        assert_eq!(buf.as_slice().len(), 3 * PAGE_BYTES);
        assert!(buf.as_slice().as_ptr().addr().is_multiple_of(PAGE_BYTES));
        assert!(buf.as_slice().iter().all(|byte| *byte == 0));
        buf.as_mut_slice()[3 * PAGE_BYTES - 1] = 7;
        assert_eq!(buf.as_slice().last(), Some(&7));
    }

    #[test]
    fn a_buffer_is_left_out_of_core_dumps() {
        let buf = PageBuf::new(2).unwrap();
        let first = buf.as_slice().as_ptr().addr();
        let last = first + buf.as_slice().len() - 1;
        for at in [first, last] {
            let flags = vm_flags(at);
            assert!(flags.split_whitespace().any(|flag| flag == "dd"), "{flags}");
        }
        // Not because all of this process's memory is.
        let on_stack = 0_u8;
        let flags = vm_flags((&raw const on_stack).addr());
        assert!(
            !flags.split_whitespace().any(|flag| flag == "dd"),
            "{flags}"
        );
    }

    #[test]
    fn as_many_pages_are_wiped_as_were_asked_for() {
        let mut buf = PageBuf::new(3).unwrap();
        for (pages, left) in [(0, 3), (2, 1), (3, 0), (u64::MAX, 0)] {
            buf.as_mut_slice().fill(7);
            buf.wipe(pages);
            let kept = buf.as_slice().iter().filter(|byte| **byte == 7).count();
            assert_eq!(kept, left * PAGE_BYTES, "{pages}");
            assert!(
                buf.as_slice()
                    .iter()
                    .rev()
                    .take(kept)
                    .all(|byte| *byte == 7)
            );
        }
    }

    #[test]
    fn a_small_buffer_can_be_locked() {
        PageBuf::new(1).unwrap().lock().unwrap();
    }

    #[test]
    fn impossible_sizes_are_errors() {
        assert_eq!(
            PageBuf::new(0).unwrap_err().raw_os_error(),
            Some(libc::EINVAL)
        );
        assert_eq!(
            PageBuf::new(usize::MAX).unwrap_err().kind(),
            io::ErrorKind::OutOfMemory
        );
        assert_eq!(
            PageBuf::new(usize::MAX / PAGE_BYTES).unwrap_err().kind(),
            io::ErrorKind::OutOfMemory
        );
    }

    #[test]
    fn debug_prints_the_size_only() {
        let mut buf = PageBuf::new(1).unwrap();
        buf.as_mut_slice().fill(0x41);
        assert_eq!(format!("{buf:?}"), "PageBuf { bytes: 4096, .. }");
    }
}
