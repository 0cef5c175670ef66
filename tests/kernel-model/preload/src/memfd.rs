//! The files that stand for the kernel's.
//!
//! **Invariant:** none is close-on-exec that the kernel's would not be, and the other way round.

use std::ffi::CStr;
use std::io::{Error, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

use stagepages_kernel_model::world::FileId;
use stagepages_kernel_model::{Answer, Errno};

use crate::real;

pub(crate) const KVM: &CStr = c"model-kvm";
pub(crate) const SEV: &CStr = c"model-sev";
pub(crate) const VM: &CStr = c"model-vm";
pub(crate) const VCPU: &CStr = c"model-vcpu";
pub(crate) const GUEST_MEMFD: &CStr = c"stagepages-model-gmem";
pub(crate) const FILE: &CStr = c"model-file";

/// Makes a file of `bytes` zero bytes.
///
/// # Errors
///
/// The machine's.
pub(crate) fn create(name: &CStr, bytes: u64, cloexec: bool) -> Answer<OwnedFd> {
    let flags = if cloexec { libc::MFD_CLOEXEC } else { 0 };
    // SAFETY: reads the name, which ends in a zero byte.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), flags) };
    if fd < 0 {
        return Err(last());
    }
    // SAFETY: touches no memory; the descriptor was just made, and nobody else knows its number.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let bytes = i64::try_from(bytes).or(Err(Errno::EINVAL))?;
    // SAFETY: touches no memory of this process.
    let ret = unsafe { libc::ftruncate64(fd.as_raw_fd(), bytes) };
    if ret == 0 { Ok(fd) } else { Err(last()) }
}

/// Makes a file with these contents, to be read from its beginning. Gives its number away.
///
/// # Errors
///
/// The machine's.
pub(crate) fn with_contents(contents: &str, cloexec: bool) -> Answer<i32> {
    let fd = create(FILE, 0, cloexec)?;
    let mut file = std::fs::File::from(fd);
    let written = file
        .write_all(contents.as_bytes())
        .and_then(|()| std::io::Seek::rewind(&mut file));
    match written {
        Ok(()) => Ok(file.into_raw_fd()),
        Err(error) => Err(Errno(error.raw_os_error().unwrap_or(libc::EIO))),
    }
}

/// Which file a number stands for.
pub(crate) fn identify(fd: i32) -> Option<FileId> {
    status(fd).map(|status| FileId {
        dev: status.st_dev,
        ino: status.st_ino,
    })
}

/// The truth about a descriptor.
pub(crate) fn status(fd: i32) -> Option<libc::stat> {
    let mut status = MaybeUninit::uninit();
    // SAFETY: writes `status`, a live buffer of the type that the function fills.
    let ret = unsafe { real::fstat64()(fd, status.as_mut_ptr()) };
    if ret != 0 {
        return None;
    }
    // SAFETY: the call succeeded, and so filled it.
    Some(unsafe { status.assume_init() })
}

/// The errno of the call before.
pub(crate) fn last() -> Errno {
    Errno(Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}
