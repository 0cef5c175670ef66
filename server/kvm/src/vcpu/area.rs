//! The memory that a vCPU shares with the kernel: why the last run ended, and the bytes that pass through a port.
//!
//! kvm-ioctls maps it too, but lends only its first bytes, and from a reference to those the data of a port access, one page further, is
//! not to be reached. Its mapping is never used here, so this one is the only way to the bytes.
//!
//! **Invariant:** what the kernel says of an offset or a length is checked against the mapping before it is used.

use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::slice;

use kvm_bindings::kvm_run;
use kvm_ioctls::VcpuFd;

use crate::KvmError;
use crate::span::Span;

/// A vCPU's shared area: a [`kvm_run`], then data.
#[derive(Debug)]
pub(super) struct RunArea(Span);

impl RunArea {
    /// Maps `bytes` bytes, which the kernel gave as the size (`KVM_GET_VCPU_MMAP_SIZE`).
    pub(super) fn map(vcpu: &VcpuFd, bytes: usize) -> Result<Self, KvmError> {
        const OP: &str = "mmap";
        // SAFETY: touches no memory; `vcpu` keeps the descriptor open for longer than it is borrowed here.
        let fd = unsafe { BorrowedFd::borrow_raw(vcpu.as_raw_fd()) };
        let span = Span::shared(fd, bytes as u64).map_err(|os| KvmError::Kernel { op: OP, os })?;
        if bytes < size_of::<kvm_run>() {
            return Err(KvmError::from_errno(OP, libc::EOVERFLOW));
        }
        Ok(Self(span))
    }

    /// An area that no kernel fills, for tests of what is read from it.
    #[cfg(test)]
    pub(super) fn zeroed() -> Self {
        Self(Span::private(3 * crate::PAGE_BYTES).unwrap())
    }

    /// The structure at the start.
    pub(super) fn run(&mut self) -> &mut kvm_run {
        // SAFETY: the area is mapped as long as `self` lives, page aligned, and no shorter than the structure, of which any bytes are a
        // value. The kernel writes it only in KVM_RUN, which takes the whole vCPU mutably; `&mut self` excludes the rest.
        unsafe { self.0.addr().cast().as_mut() }
    }

    /// `count` times `size` bytes of data, `offset` bytes from the start. `None` unless they are behind the structure and inside the area.
    pub(super) fn data(&mut self, offset: u64, size: u8, count: u32) -> Option<&mut [u8]> {
        let Range { start, end } = place(offset, size, count, self.0.bytes())?;
        // SAFETY: touches no memory. `start` is at most the length of the area.
        let addr = unsafe { self.0.addr().add(start) };
        // SAFETY: the bytes are inside the area, which is mapped as long as `self` lives, and are initialised, for a shared mapping always
        // is. Of writers the same holds as for `run`.
        Some(unsafe { slice::from_raw_parts_mut(addr.as_ptr(), end - start) })
    }
}

fn place(offset: u64, size: u8, count: u32, area: usize) -> Option<Range<usize>> {
    let length = usize::try_from(count).ok()?.checked_mul(size.into())?;
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(length)?;
    (start >= size_of::<kvm_run>() && end <= area).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_behind_the_structure_and_inside_the_area() {
        let area = 0x3000;
        assert_eq!(place(0x1000, 2, 3, area), Some(0x1000..0x1006));
        assert_eq!(place(0x1000, 4, 0x800, area), Some(0x1000..0x3000));
        assert_eq!(place(0x1000, 4, 0x801, area), None, "beyond the end");
        assert_eq!(place(0, 1, 1, area), None, "in the structure");
        for (offset, count) in [(u64::MAX, 1), (0x1000, u32::MAX), (u64::MAX - 3, 4)] {
            assert_eq!(place(offset, 255, count, area), None, "{offset:#x}");
        }
    }
}
