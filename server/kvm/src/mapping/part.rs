//! Some pages of a mapping, borrowed alone, so that several threads can fill one mapping.
//!
//! **Invariant:** no two parts of a mapping that exist at a time have a page in common.

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::slice;

use super::Mapping;
use crate::{KvmError, PAGE_BYTES};

/// Consecutive pages of a [`Mapping`], which is borrowed mutably for as long as any part of it exists.
pub struct Part<'a> {
    addr: NonNull<u8>,
    bytes: usize,
    borrowed: PhantomData<&'a mut [u8]>,
}

// SAFETY: a part is the only way to its bytes, as a `&mut [u8]` is, which may go to another thread.
unsafe impl Send for Part<'_> {}

impl<K> Mapping<K> {
    /// Some pages, to be filled or to be divided.
    ///
    /// # Errors
    ///
    /// [`KvmError::OutOfBounds`].
    pub fn part(&mut self, first: u64, pages: u64) -> Result<Part<'_>, KvmError> {
        self.part_for("part", first, pages)
    }

    pub(super) fn part_for(
        &mut self,
        op: &'static str,
        first: u64,
        pages: u64,
    ) -> Result<Part<'_>, KvmError> {
        let (addr, bytes) = self.locate(op, first, pages)?;
        Ok(Part {
            addr,
            bytes,
            borrowed: PhantomData,
        })
    }
}

impl<'a> Part<'a> {
    /// How many pages it has.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.bytes / PAGE_BYTES
    }

    /// Its first `pages` pages, or all if it has no more, and the others.
    #[must_use]
    pub fn split(self, pages: usize) -> (Self, Self) {
        let bytes = pages.saturating_mul(PAGE_BYTES).min(self.bytes);
        // SAFETY: touches no memory. The result is inside the part or one past its end.
        let behind = unsafe { self.addr.add(bytes) };
        let part = |addr, bytes| Part {
            addr,
            bytes,
            borrowed: PhantomData::<&'a mut [u8]>,
        };
        (part(self.addr, bytes), part(behind, self.bytes - bytes))
    }

    /// As [`Mapping::populate`], all of it.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn populate(&mut self) -> Result<(), KvmError> {
        // SAFETY: the kernel faults in `bytes` bytes at `addr`, as if writing, and changes none that exists. They lie inside a span
        // that is mapped as long as the mapping lives, which is borrowed.
        let ret = unsafe {
            libc::madvise(
                self.addr.as_ptr().cast(),
                self.bytes,
                libc::MADV_POPULATE_WRITE,
            )
        };
        if ret == 0 {
            Ok(())
        } else {
            Err(KvmError::last("madvise MADV_POPULATE_WRITE"))
        }
    }

    /// As [`Mapping::read_from`], into all of it.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn read_from(&mut self, file: BorrowedFd<'_>, offset: u64) -> Result<usize, KvmError> {
        // Beyond 2^63 it turns negative, which the kernel answers with EINVAL.
        let offset = offset.cast_signed();
        // SAFETY: the kernel writes at most `bytes` bytes at `addr`. They lie inside the span, which is mapped writable, and this part
        // is the only way to them. `file` is not what is mapped here: that descriptor is never lent.
        let ret = unsafe {
            libc::pread(
                file.as_raw_fd(),
                self.addr.as_ptr().cast(),
                self.bytes,
                offset,
            )
        };
        usize::try_from(ret).or(Err(KvmError::last("pread")))
    }

    /// The first byte.
    pub(super) fn addr(&self) -> NonNull<u8> {
        self.addr
    }

    /// Its contents. A plain access, as [`Mapping::pages`] is.
    #[must_use]
    pub fn contents(&self) -> &[u8] {
        // SAFETY: `bytes` bytes at `addr` are mapped readable as long as the mapping lives, which is borrowed. Nothing writes them while
        // the slice is: through this part that takes it mutably, and there is no other way to them.
        unsafe { slice::from_raw_parts(self.addr.as_ptr(), self.bytes) }
    }
}

impl fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("pages", &self.pages())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;
    use std::thread;

    use super::*;
    use crate::PAGE_SIZE;

    #[test]
    fn parts_are_filled_by_threads_of_their_own() {
        let mut memory = Mapping::anonymous(c"stagepages-test", 8 * PAGE_SIZE).unwrap();
        let path = std::env::temp_dir().join(format!("stagepages-part-{}", std::process::id()));
        let file = File::create_new(&path).unwrap();
        for page in 0..8_u8 {
            let at = u64::from(page) * PAGE_SIZE;
            file.write_all_at(&[page + 1; PAGE_BYTES], at).unwrap();
        }
        let file = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let (mut low, mut high) = memory.part(1, 6).unwrap().split(2);
        assert_eq!((low.pages(), high.pages()), (2, 4));
        thread::scope(|scope| {
            scope.spawn(|| {
                high.populate().unwrap();
                let got = high.read_from(file.as_fd(), 3 * PAGE_SIZE).unwrap();
                assert_eq!(got, 4 * PAGE_BYTES);
                assert_eq!(high.contents()[0], 4);
            });
            low.populate().unwrap();
            low.read_from(file.as_fd(), PAGE_SIZE).unwrap();
        });
        let firsts: Vec<u8> = (0..8)
            .map(|page| memory.pages(page, 1).unwrap()[0])
            .collect();
        assert_eq!(firsts, [0, 2, 3, 4, 5, 6, 7, 0]);
    }

    #[test]
    fn a_part_is_inside_the_mapping_and_divided_inside_itself() {
        let mut memory = Mapping::anonymous(c"stagepages-test", 2 * PAGE_SIZE).unwrap();
        assert!(matches!(
            memory.part(1, 2),
            Err(KvmError::OutOfBounds { total: 2, .. })
        ));
        for (at, sizes) in [(0, (0, 2)), (2, (2, 0)), (usize::MAX, (2, 0))] {
            let (low, high) = memory.part(0, 2).unwrap().split(at);
            assert_eq!((low.pages(), high.pages()), sizes);
        }
    }
}
