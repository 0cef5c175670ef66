//! Descriptors that a process was born with beyond the three that it knows of.
//!
//! **Invariant:** nothing is closed in this process: whatever owns a descriptor still has it.

use std::io;

/// Keeps every descriptor from 3 on from the programs that this process starts, whoever opened it: `close_range(2)` with `CLOSE_RANGE_CLOEXEC`, Linux 5.11.
///
/// # Errors
/// The kernel's: `EINVAL` or `ENOSYS` from before that.
pub fn keep_descriptors_from_children() -> io::Result<()> {
    let flags = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
    // SAFETY: touches no memory, and closes nothing (`__range_cloexec()`, fs/file.c).
    let ret = unsafe { libc::close_range(3, libc::c_uint::MAX, flags) };
    if ret == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
