//! Memory that belongs to no VM, for a model of one.
//!
//! **Invariant:** its size is fixed for good, and its descriptor never leaves this file.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use super::Mapping;
use crate::KvmError;
use crate::guest_memfd::fallocate;
use crate::span::Span;

/// What lies behind a mapping: a sealed memfd. Its pages can be discarded.
#[derive(Debug)]
pub struct Anonymous(OwnedFd);

impl Mapping<Anonymous> {
    /// Maps `bytes` bytes of new memory that reads as zeros. `name` shows in `/proc/PID/maps`, for debugging.
    ///
    /// Four calls (`memfd_create`, `ftruncate`, the seals, `mmap`), because memory of another size or without seals is of no use:
    /// a file that could shrink under its mapping would turn reads into SIGBUS.
    ///
    /// # Errors
    ///
    /// `EINVAL` for zero bytes, `EFBIG` or `EINVAL` for more than a file can have, `ENOMEM` where there is no room, `EMFILE`.
    pub fn anonymous(name: &CStr, bytes: u64) -> Result<Self, KvmError> {
        let memfd = create(name)?;
        set_size(&memfd, bytes)?;
        seal(&memfd)?;
        let span =
            Span::shared(memfd.as_fd(), bytes).map_err(|os| KvmError::Kernel { op: "mmap", os })?;
        Ok(Self::new(Arc::new(span), Anonymous(memfd)))
    }

    /// Gives pages back: they do not exist any more, and read as zeros.
    ///
    /// # Errors
    ///
    /// [`KvmError::OutOfBounds`]; `EINVAL` for no pages.
    pub fn discard(&mut self, first: u64, pages: u64) -> Result<(), KvmError> {
        self.locate("fallocate", first, pages)?;
        fallocate(
            self.behind.0.as_fd(),
            libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
            first,
            pages,
        )
    }
}

fn create(name: &CStr) -> Result<OwnedFd, KvmError> {
    // SAFETY: the kernel reads `name` up to its zero byte; it is borrowed for the call.
    let fd =
        unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if fd < 0 {
        return Err(KvmError::last("memfd_create"));
    }
    // SAFETY: touches no memory. The kernel has just made this descriptor for this call, and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn set_size(memfd: &OwnedFd, bytes: u64) -> Result<(), KvmError> {
    const OP: &str = "ftruncate";
    let size = i64::try_from(bytes).or(Err(KvmError::from_errno(OP, libc::EFBIG)))?;
    // SAFETY: touches no memory: nothing of the file is mapped yet. The descriptor is borrowed for the call.
    let ret = unsafe { libc::ftruncate(memfd.as_raw_fd(), size) };
    if ret == 0 {
        Ok(())
    } else {
        Err(KvmError::last(OP))
    }
}

fn seal(memfd: &OwnedFd) -> Result<(), KvmError> {
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: touches no memory; the descriptor is borrowed for the call.
    let ret = unsafe { libc::fcntl(memfd.as_raw_fd(), libc::F_ADD_SEALS, seals) };
    if ret == 0 {
        Ok(())
    } else {
        Err(KvmError::last("fcntl F_ADD_SEALS"))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::{PAGE_BYTES, PAGE_SIZE};

    fn memory(pages: u64) -> Mapping<Anonymous> {
        Mapping::anonymous(c"stagepages-test", pages * PAGE_SIZE).unwrap()
    }

    #[test]
    fn the_size_is_sealed_and_the_descriptor_close_on_exec() {
        let memory = memory(2);
        assert_eq!(memory.page_count(), 2);
        let fd = memory.behind.0.as_raw_fd();
        // SAFETY: touches no memory.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        assert_eq!(flags, libc::FD_CLOEXEC);
        for size in [0, 8 * PAGE_SIZE.cast_signed()] {
            // SAFETY: touches no memory: the seals refuse it, which is what is tested.
            let ret = unsafe { libc::ftruncate(fd, size) };
            assert_eq!(
                (ret, io::Error::last_os_error().raw_os_error()),
                (-1, Some(libc::EPERM))
            );
        }
    }

    #[test]
    fn discarded_pages_are_gone_and_read_as_zeros() {
        let mut memory = memory(3);
        memory.populate(0, 3).unwrap();
        memory.copy_in(0, &[7; 3 * PAGE_BYTES]).unwrap();
        memory.discard(1, 1).unwrap();
        let mut exists = [0; 3];
        memory.exists(0, &mut exists).unwrap();
        assert_eq!(exists.map(|page| page & 1), [1, 0, 1]);
        let firsts = |index: u64| memory.pages(index, 1).unwrap()[0];
        assert_eq!([firsts(0), firsts(1), firsts(2)], [7, 0, 7]);
    }

    #[test]
    fn nothing_is_discarded_beyond_the_end() {
        let mut memory = memory(2);
        for (first, pages) in [(0, 3), (2, 1), (u64::MAX, 1), (1, u64::MAX)] {
            assert!(matches!(
                memory.discard(first, pages),
                Err(KvmError::OutOfBounds { total: 2, .. })
            ));
        }
        assert_eq!(
            memory.discard(0, 0).unwrap_err().errno(),
            Some(libc::EINVAL)
        );
    }

    #[test]
    fn impossible_sizes_are_errors() {
        let errno = |bytes| {
            Mapping::anonymous(c"stagepages-test", bytes)
                .unwrap_err()
                .errno()
        };
        assert_eq!(errno(0), Some(libc::EINVAL));
        assert_eq!(errno(1 << 63), Some(libc::EFBIG));
        assert_eq!(errno(u64::MAX), Some(libc::EFBIG));
        assert!(errno(1 << 60).is_some());
    }

    #[test]
    fn a_tebibyte_is_address_space_only() {
        let mut memory = memory(1 << 28);
        let last = memory.page_count() - 1;
        memory.populate(last, 1).unwrap();
        memory.copy_in(last, &[9; PAGE_BYTES]).unwrap();
        assert_eq!(memory.pages(last, 1).unwrap(), [9; PAGE_BYTES]);
    }
}
