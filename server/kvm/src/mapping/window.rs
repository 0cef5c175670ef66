//! Memory that another process has too: bytes are copied out of it and into it, and never looked at where they are.
//!
//! What a process on the other side writes meanwhile may be copied in part. So whoever judges bytes judges the copy.
//!
//! What is in one is a guest's to be, so it can be locked into memory and is wiped by whoever put it there.
//!
//! **Invariant:** no reference to its bytes is given out, and no two windows that come of one [`Window::map`] have a byte in common. Who maps the same memory twice has
//! made a second process of itself, and gets what such a one gets: mixtures.

use std::fmt;
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::Arc;

use super::Part;
use crate::span::Span;
use crate::{KvmError, PAGE_BYTES, PAGE_SIZE};

const MAP: &str = "mmap";

/// Some of a file that other processes may write and cannot shorten, mapped here.
pub struct Window {
    span: Arc<Span>,
    at: usize,
    bytes: usize,
}

impl Window {
    /// Maps the first `bytes` bytes of a memfd, whole pages.
    ///
    /// # Errors
    ///
    /// `EPERM` without the seal `F_SEAL_SHRINK`: what shrinks turns an access into a signal. `EINVAL` where seals are unknown, for no bytes or
    /// for more than it has; `ENOMEM`, `EMFILE`.
    pub fn map(memfd: BorrowedFd<'_>, bytes: u64) -> Result<Self, KvmError> {
        // SAFETY: touches no memory; the descriptor is borrowed for the call.
        let seals = unsafe { libc::fcntl(memfd.as_raw_fd(), libc::F_GET_SEALS) };
        if seals < 0 {
            return Err(KvmError::last("fcntl F_GET_SEALS"));
        }
        if seals & libc::F_SEAL_SHRINK == 0 {
            return Err(KvmError::from_errno(MAP, libc::EPERM));
        }
        let length = memfd
            .try_clone_to_owned()
            .and_then(|memfd| File::from(memfd).metadata())
            .map_err(|os| KvmError::Kernel { op: "fstat", os })?
            .len();
        if length < bytes || !bytes.is_multiple_of(PAGE_SIZE) {
            return Err(KvmError::from_errno(MAP, libc::EINVAL));
        }
        let span = Span::shared(memfd, bytes).map_err(|os| KvmError::Kernel { op: MAP, os })?;
        Ok(Self {
            at: 0,
            bytes: span.bytes(),
            span: Arc::new(span),
        })
    }

    /// The size in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Its first `bytes` bytes, or all if it has no more, and the others.
    #[must_use]
    pub fn split(self, bytes: usize) -> (Self, Self) {
        let first = bytes.min(self.bytes);
        let behind = Self {
            span: Arc::clone(&self.span),
            at: self.at + first,
            bytes: self.bytes - first,
        };
        let first = Self {
            bytes: first,
            ..self
        };
        (first, behind)
    }

    /// Copies `bytes` to the beginning of the window, after it has made the pages exist that these need.
    ///
    /// # Errors
    ///
    /// `EINVAL` for more than it has; `ENOMEM` where there is no memory, and then nothing was copied.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), KvmError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let addr = self.populated(0, bytes.len(), libc::MADV_POPULATE_WRITE)?;
        // SAFETY: `bytes.len()` bytes at `addr` are inside the span, exist, and are mapped writable as long as it lives. `&mut self` is this process's
        // only way to them, so `bytes` is elsewhere. Another process may read or write them meanwhile; neither side looks at them where they are.
        unsafe { addr.copy_from_nonoverlapping(NonNull::from_ref(bytes).cast(), bytes.len()) };
        Ok(())
    }

    /// Overwrites the first `bytes` bytes of the window with zeros. Pages that do not exist are made.
    ///
    /// # Errors
    ///
    /// `EINVAL` for more than it has; `ENOMEM` where there is no memory, and then nothing was overwritten.
    pub fn wipe(&mut self, bytes: usize) -> Result<(), KvmError> {
        if bytes == 0 {
            return Ok(());
        }
        // They exist already, unless the other side has made a hole: it must not turn this into a signal.
        let addr = self.populated(0, bytes, libc::MADV_POPULATE_WRITE)?;
        // SAFETY: as in `write`: `bytes` bytes at `addr` are inside the span, exist, and are mapped writable; this process reaches them through `self` only.
        unsafe { libc::explicit_bzero(addr.as_ptr().cast(), bytes) };
        Ok(())
    }

    /// Keeps the window's pages out of swap from when they exist (`MLOCK_ONFAULT`, Linux 4.4), until [`unlock`](Self::unlock). It makes none.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EPERM` or `EAGAIN` beyond the limit on locked memory, which counts the whole window. `EINVAL` for a window that does not begin at a page.
    pub fn lock(&self) -> Result<(), KvmError> {
        const OP: &str = "mlock2";
        let page = self.whole_pages(OP)?;
        // SAFETY: the kernel marks pages of the window, which are inside the span, and changes no byte.
        let ret = unsafe { libc::mlock2(page.as_ptr().cast(), self.bytes, libc::MLOCK_ONFAULT) };
        if ret == 0 {
            Ok(())
        } else {
            Err(KvmError::last(OP))
        }
    }

    /// Lets the kernel swap the window's pages out again.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn unlock(&self) -> Result<(), KvmError> {
        const OP: &str = "munlock";
        let page = self.whole_pages(OP)?;
        // SAFETY: as in `lock`.
        let ret = unsafe { libc::munlock(page.as_ptr().cast(), self.bytes) };
        if ret == 0 {
            Ok(())
        } else {
            Err(KvmError::last(OP))
        }
    }

    /// Where the window begins, if that is a page of its own.
    fn whole_pages(&self, op: &'static str) -> Result<NonNull<u8>, KvmError> {
        if !self.at.is_multiple_of(PAGE_BYTES) || !self.bytes.is_multiple_of(PAGE_BYTES) {
            return Err(KvmError::from_errno(op, libc::EINVAL));
        }
        // SAFETY: touches no memory. The window is inside the span.
        Ok(unsafe { self.span.addr().add(self.at) })
    }

    /// Where `bytes` bytes are from `at` on, in pages that exist now.
    fn populated(&self, at: u64, bytes: usize, how: libc::c_int) -> Result<NonNull<u8>, KvmError> {
        const OP: &str = "madvise MADV_POPULATE";
        let wrong = KvmError::from_errno(OP, libc::EINVAL);
        let Ok(at) = usize::try_from(at) else {
            return Err(wrong);
        };
        if at.checked_add(bytes).is_none_or(|end| end > self.bytes) {
            return Err(wrong);
        }
        let (from, inside) = (
            (self.at + at) / PAGE_BYTES * PAGE_BYTES,
            (self.at + at) % PAGE_BYTES,
        );
        // SAFETY: touches no memory. Both are inside the span, for `at` is.
        let page = unsafe { self.span.addr().add(from) };
        // SAFETY: the kernel faults in the pages of the range, as if by an access, and changes no byte. They lie inside the span, which is whole pages.
        let ret = unsafe { libc::madvise(page.as_ptr().cast(), inside + bytes, how) };
        if ret != 0 {
            return Err(KvmError::last(OP));
        }
        // SAFETY: as above.
        Ok(unsafe { page.add(inside) })
    }
}

impl Part<'_> {
    /// Copies as many bytes as it has from `window`, from byte `at` on. Populate the part first.
    ///
    /// # Errors
    ///
    /// `EINVAL` for what the window does not have, `ENOMEM`; nothing was copied.
    pub fn copy_from(&mut self, window: &Window, at: u64) -> Result<(), KvmError> {
        let bytes = self.pages() * PAGE_BYTES;
        let from = window.populated(at, bytes, libc::MADV_POPULATE_READ)?;
        // SAFETY: `bytes` bytes at `from` are inside the window's span, exist, and are mapped readable as long as it lives; `bytes` bytes at `addr` are this
        // part's, to which it is the only way, and which are of another memory: a `Mapping`'s is mapped nowhere else. Whoever else has the window's memory may
        // write at `from` meanwhile: then a mixture is copied, and nobody looks at the original.
        unsafe { self.addr().copy_from_nonoverlapping(from, bytes) };
        Ok(())
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;
    use std::os::fd::{AsFd, FromRawFd};
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;
    use crate::tests::vm_flags;
    use crate::{Anonymous, Mapping};

    fn memfd(seals: libc::c_int, pages: u64) -> File {
        const NAME: &CStr = c"stagepages-test";
        // SAFETY: the kernel reads the name up to its zero byte.
        let fd = unsafe {
            libc::memfd_create(NAME.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING)
        };
        // SAFETY: touches no memory; the descriptor was just made, or is refused here.
        let file = unsafe { File::from_raw_fd(fd) };
        file.set_len(pages * PAGE_SIZE).unwrap();
        // SAFETY: touches no memory.
        let sealed = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) };
        assert_eq!(sealed, 0);
        file
    }

    fn window(file: &File, pages: u64) -> Result<Window, KvmError> {
        Window::map(file.as_fd(), pages * PAGE_SIZE)
    }

    fn target(pages: u64) -> Mapping<Anonymous> {
        Mapping::anonymous(c"stagepages-test", pages * PAGE_SIZE).unwrap()
    }

    #[test]
    fn what_is_written_is_in_the_file_and_is_copied_from_it() {
        let file = memfd(libc::F_SEAL_SHRINK, 4);
        let (mut first, mut second) = window(&file, 4).unwrap().split(2 * PAGE_BYTES);
        assert_eq!((first.bytes(), second.bytes()), (0x2000, 0x2000));
        first.write(&[1; PAGE_BYTES]).unwrap();
        second.write(&[2; 2 * PAGE_BYTES]).unwrap();
        let mut byte = [0];
        for (at, found) in [(0, 1), (0xfff, 1), (0x1000, 0), (0x2000, 2), (0x3fff, 2)] {
            file.read_exact_at(&mut byte, at).unwrap();
            assert_eq!(byte, [found], "{at:#x}");
        }
        // Another process's view: of the same memory, and read at a place that is no page.
        let other = window(&file, 4).unwrap();
        let mut memory = target(3);
        let mut part = memory.part(1, 1).unwrap();
        part.populate().unwrap();
        part.copy_from(&other, 0x1800).unwrap();
        let copied = part.contents();
        assert_eq!((copied[0], copied[0x7ff]), (0, 0));
        assert_eq!((copied[0x800], copied[0xfff]), (2, 2));
        assert_eq!(memory.pages(0, 1).unwrap()[4095], 0);
        assert_eq!(memory.pages(2, 1).unwrap()[0], 0);
    }

    #[test]
    fn a_hole_reads_as_zeros() {
        let file = memfd(libc::F_SEAL_SHRINK, 1);
        let mut memory = target(1);
        memory.populate(0, 1).unwrap();
        memory.copy_in(0, &[7; PAGE_BYTES]).unwrap();
        let mut part = memory.part(0, 1).unwrap();
        part.copy_from(&window(&file, 1).unwrap(), 0).unwrap();
        assert_eq!(part.contents(), [0; PAGE_BYTES]);
    }

    #[test]
    fn nothing_beyond_the_end_is_reached() {
        let file = memfd(libc::F_SEAL_SHRINK, 3);
        assert_eq!(window(&file, 4).unwrap_err().errno(), Some(libc::EINVAL));
        let (mut first, second) = window(&file, 2).unwrap().split(PAGE_BYTES);
        let wrong = first.write(&[0; PAGE_BYTES + 1]).unwrap_err();
        assert_eq!(wrong.errno(), Some(libc::EINVAL));
        let mut memory = target(2);
        for (pages, at) in [
            (1, 1),
            (1, 0x1000),
            (2, 0),
            (1, u64::MAX),
            (1, u64::MAX - 0xfff),
        ] {
            let mut part = memory.part(0, pages).unwrap();
            let wrong = part.copy_from(&second, at).unwrap_err();
            assert_eq!(wrong.errno(), Some(libc::EINVAL), "{pages} at {at:#x}");
        }
        let (all, none) = second.split(usize::MAX);
        assert_eq!((all.bytes(), none.bytes()), (PAGE_BYTES, 0));
    }

    #[test]
    fn what_is_wiped_is_zero_in_the_file_and_nothing_behind_it() {
        let file = memfd(libc::F_SEAL_SHRINK, 4);
        let (mut first, mut second) = window(&file, 4).unwrap().split(2 * PAGE_BYTES);
        first.write(&[1; 2 * PAGE_BYTES]).unwrap();
        second.write(&[2; 2 * PAGE_BYTES]).unwrap();
        second.wipe(PAGE_BYTES + 1).unwrap();
        first.wipe(0).unwrap();
        let mut byte = [0];
        for (at, found) in [
            (0x1fff, 1),
            (0x2000, 0),
            (0x3000, 0),
            (0x3001, 2),
            (0x3fff, 2),
        ] {
            file.read_exact_at(&mut byte, at).unwrap();
            assert_eq!(byte, [found], "{at:#x}");
        }
        let wrong = second.wipe(2 * PAGE_BYTES + 1).unwrap_err();
        assert_eq!(wrong.errno(), Some(libc::EINVAL));
    }

    #[test]
    fn a_window_is_locked_without_pages_and_given_free_again() {
        let file = memfd(libc::F_SEAL_SHRINK, 4);
        let (mut first, mut second) = window(&file, 4).unwrap().split(2 * PAGE_BYTES);
        second.lock().unwrap();
        assert_eq!(file.metadata().unwrap().blocks(), 0);
        first.write(&[1]).unwrap();
        second.write(&[2]).unwrap();
        let flags = |window: &Window| vm_flags(window.span.addr().as_ptr().addr() + window.at);
        assert!(flags(&second).contains(" lo "), "{}", flags(&second));
        assert!(!flags(&first).contains(" lo "), "{}", flags(&first));
        second.unlock().unwrap();
        assert!(!flags(&second).contains(" lo "), "{}", flags(&second));
        assert!(flags(&second).contains(" dd "), "{}", flags(&second));
        let (_, odd) = second.split(1);
        assert_eq!(odd.lock().unwrap_err().errno(), Some(libc::EINVAL));
        assert_eq!(odd.unlock().unwrap_err().errno(), Some(libc::EINVAL));
    }

    #[test]
    fn what_could_shrink_is_not_mapped() {
        let file = memfd(libc::F_SEAL_GROW, 1);
        assert_eq!(window(&file, 1).unwrap_err().errno(), Some(libc::EPERM));
        let null = File::open("/dev/null").unwrap();
        assert_eq!(window(&null, 1).unwrap_err().errno(), Some(libc::EINVAL));
    }
}
