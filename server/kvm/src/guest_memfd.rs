//! The memory of a guest: a guest_memfd.
//!
//! **Invariant:** no hole is ever punched, and the descriptor is never lent: whoever has it could do both that and map it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use kvm_bindings::kvm_create_guest_memfd;
use kvm_ioctls::VmFd;

use crate::caps::GuestMemfdFlags;
use crate::mapping::{Guest, Mapping};
use crate::span::Span;
use crate::{KvmError, PAGE_SIZE};

/// An owned guest_memfd. It belongs to one VM, which the kernel keeps for as long as the descriptor is open.
#[derive(Debug)]
pub struct GuestMemfd {
    fd: OwnedFd,
    bytes: u64,
    flags: GuestMemfdFlags,
}

impl GuestMemfd {
    pub(crate) fn create(vm: &VmFd, bytes: u64, flags: GuestMemfdFlags) -> Result<Self, KvmError> {
        let args = kvm_create_guest_memfd {
            size: bytes,
            flags: flags.bits(),
            ..Default::default()
        };
        let fd = vm
            .create_guest_memfd(args)
            .map_err(|error| KvmError::ioctl("KVM_CREATE_GUEST_MEMFD", error))?;
        // SAFETY: touches no memory. The kernel has just made this descriptor for this call, and nobody else knows its number.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        set_close_on_exec(fd.as_fd())?;
        Ok(Self { fd, bytes, flags })
    }

    /// The size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The size in pages.
    pub fn page_count(&self) -> u64 {
        self.bytes / PAGE_SIZE
    }

    /// Takes memory for `pages` pages from index `first` on. They do not count as existing yet ([`Mapping::exists`]), and are
    /// zeroed when first touched (`kvm_gmem_allocate()`, `virt/kvm/guest_memfd.c`, Linux 6.11 to 7.1).
    ///
    /// # Errors
    ///
    /// `EINVAL` for no pages or pages beyond the end, `ENOMEM`, `EINTR` if a signal was pending. After the last two, some pages may
    /// have been taken.
    pub fn allocate(&self, first: u64, pages: u64) -> Result<(), KvmError> {
        // A guest_memfd never changes its size and refuses to be asked to.
        fallocate(self.fd.as_fd(), libc::FALLOC_FL_KEEP_SIZE, first, pages)
    }

    /// Maps the whole memory, shared. Needs [`GuestMemfdFlags::MMAP`], and [`GuestMemfdFlags::INIT_SHARED`] for its pages to be
    /// touched.
    ///
    /// Consumes the handle, so that there is one mapping at most: its borrows are what guards the contents.
    ///
    /// # Errors
    ///
    /// `ENODEV` without MMAP, `ENOMEM` where there is no room. The memory is then released.
    pub fn map(self) -> Result<Mapping<Guest>, KvmError> {
        let span = Span::shared(self.fd.as_fd(), self.bytes)
            .map_err(|os| KvmError::Kernel { op: "mmap", os })?;
        Ok(Mapping::new(Arc::new(span), Guest(self)))
    }

    /// Whether [`map`](Self::map) can succeed.
    pub(crate) fn is_mappable(&self) -> bool {
        self.flags.contains(GuestMemfdFlags::MMAP)
    }

    /// The descriptor's number, as a memslot names it.
    pub(crate) fn fd_number(&self) -> u32 {
        self.fd.as_raw_fd().cast_unsigned()
    }
}

/// `fallocate` on whole pages.
pub(crate) fn fallocate(
    file: BorrowedFd<'_>,
    mode: libc::c_int,
    first: u64,
    pages: u64,
) -> Result<(), KvmError> {
    let signed = |pages: u64| {
        pages
            .checked_mul(PAGE_SIZE)
            .and_then(|bytes| i64::try_from(bytes).ok())
    };
    // What does not fit into an `off_t` the kernel would refuse with the same answer, could it be told.
    let (Some(offset), Some(length)) = (signed(first), signed(pages)) else {
        return Err(KvmError::from_errno("fallocate", libc::EINVAL));
    };
    // SAFETY: touches no memory of this process that is borrowed: allocating changes no byte, and the only caller that punches
    // has the mapping borrowed mutably. The descriptor is borrowed for the call.
    let ret = unsafe { libc::fallocate(file.as_raw_fd(), mode, offset, length) };
    if ret == 0 {
        Ok(())
    } else {
        Err(KvmError::last("fallocate"))
    }
}

/// A guest_memfd is born without the flag (`__kvm_gmem_create()`, `virt/kvm/guest_memfd.c`, up to Linux 7.2 at least).
fn set_close_on_exec(file: BorrowedFd<'_>) -> Result<(), KvmError> {
    // SAFETY: touches no memory; the descriptor is borrowed for the call.
    let ret = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
    if ret == 0 {
        Ok(())
    } else {
        Err(KvmError::last("fcntl F_SETFD"))
    }
}
