//! A span of host virtual addresses that is mapped as long as its value lives.
//!
//! **Invariant:** a span never moves, grows or is mapped anew, is in no core dump, and gives out no reference to its bytes; its owners do.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};

use crate::PAGE_BYTES;

/// Mapped memory, page aligned. The owner decides who may access the bytes.
#[derive(Debug)]
pub(crate) struct Span {
    addr: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a span is an address range that belongs to no thread. Its own methods touch no byte of it.
unsafe impl Send for Span {}
// SAFETY: as above; nothing behind a shared reference touches a byte.
unsafe impl Sync for Span {}

impl Span {
    /// Maps the first `bytes` bytes of a file, shared.
    pub(crate) fn shared(file: BorrowedFd<'_>, bytes: u64) -> io::Result<Self> {
        let bytes = usize::try_from(bytes).or(Err(io::ErrorKind::OutOfMemory))?;
        // NORESERVE: a 1 TiB region is address space; only the pages that are staged are memory.
        Self::map(
            bytes,
            libc::MAP_SHARED | libc::MAP_NORESERVE,
            file.as_raw_fd(),
        )
    }

    /// Maps `bytes` bytes of zeros that only this process sees.
    pub(crate) fn private(bytes: usize) -> io::Result<Self> {
        Self::map(bytes, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)
    }

    /// Keeps `bytes` bytes of addresses for pages of zeros that only this process sees, without promising memory for them.
    pub(crate) fn reserved(bytes: u64) -> io::Result<Self> {
        let bytes = usize::try_from(bytes).or(Err(io::ErrorKind::OutOfMemory))?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        Self::map(bytes, flags, -1)
    }

    fn map(bytes: usize, flags: libc::c_int, file: libc::c_int) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: touches no memory of this process: without MAP_FIXED and with no address hint the kernel picks a range that
        // is not in use. It takes `file` for the call only, and the length as it is.
        let addr = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, file, 0) };
        if addr == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // Linux maps nothing at address zero unless told to; were it ever to, the span would be of no use to Rust.
        let addr = NonNull::new(addr.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        // From here on it is unmapped whatever happens.
        let span = Self { addr, bytes };
        // What is mapped here is a guest's memory, or on its way there.
        // SAFETY: the kernel marks the mapping and touches no byte of it. The range is exactly the span that was just mapped.
        let ret = unsafe { libc::madvise(span.addr.as_ptr().cast(), bytes, libc::MADV_DONTDUMP) };
        if ret != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(span)
    }

    /// The first byte.
    pub(crate) fn addr(&self) -> NonNull<u8> {
        self.addr
    }

    /// The length in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The address and the length of some of its pages; `None` unless all are inside.
    pub(crate) fn pages(&self, first: u64, pages: u64) -> Option<(NonNull<u8>, usize)> {
        let bytes_of = |pages: u64| usize::try_from(pages).ok()?.checked_mul(PAGE_BYTES);
        let (offset, length) = (bytes_of(first)?, bytes_of(pages)?);
        if offset.checked_add(length)? > self.bytes {
            return None;
        }
        // SAFETY: touches no memory. The result is inside the span or one past its end, because `offset` is at most its length.
        let addr = unsafe { self.addr.add(offset) };
        Some((addr, length))
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        // It can fail only for want of memory to split a merged mapping. The range then stays mapped: a leak, and no danger.
        // SAFETY: the kernel removes exactly the range that `map` got from it. No reference into it is left: they borrow from
        // the owners of this span, of which the last is being dropped.
        unsafe { libc::munmap(self.addr.as_ptr().cast(), self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_checked_against_the_length() {
        let span = Span::private(3 * PAGE_BYTES).unwrap();
        let length = |first, pages| span.pages(first, pages).map(|(_, length)| length);
        assert_eq!(length(0, 3), Some(3 * PAGE_BYTES));
        assert_eq!(length(2, 1), Some(PAGE_BYTES));
        assert_eq!(length(3, 0), Some(0));
        for (first, pages) in [
            (0, 4),
            (3, 1),
            (4, 0),
            (1 << 52, 1),
            (1, 1 << 52),
            (u64::MAX, 1),
            (1, u64::MAX),
            (u64::MAX, u64::MAX),
        ] {
            assert_eq!(length(first, pages), None, "{first:#x} {pages:#x}");
        }
    }

    #[test]
    fn a_tebibyte_is_reserved_without_memory_for_it() {
        let span = Span::reserved(1 << 40).unwrap();
        assert_eq!(span.bytes(), 1 << 40);
        assert!(span.pages(1 << 28, 0).is_some() && span.pages(1 << 28, 1).is_none());
    }

    #[test]
    fn an_empty_span_is_refused_by_the_kernel() {
        assert_eq!(
            Span::private(0).unwrap_err().raw_os_error(),
            Some(libc::EINVAL)
        );
    }
}
