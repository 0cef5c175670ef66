//! `mmap` of a guest_memfd. A vCPU's area is mapped like any file.
//!
//! **Invariant:** a mapping without a file costs one comparison: allocators make them.

use std::ffi::{c_int, c_void};

use libc::{off_t, size_t};
use stagepages_kernel_model::{Answer, Machine, Object};

use super::{answer, object};
use crate::{real, state};

#[unsafe(no_mangle)]
unsafe extern "C" fn mmap(
    addr: *mut c_void,
    bytes: size_t,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: off_t,
) -> *mut c_void {
    if let Err(errno) = may_map(flags, fd) {
        answer(Err(errno));
        return libc::MAP_FAILED;
    }
    // SAFETY: as the caller's call of libc.
    unsafe { real::mmap()(addr, bytes, protection, flags, fd, offset) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mmap64(
    addr: *mut c_void,
    bytes: size_t,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: off_t,
) -> *mut c_void {
    if let Err(errno) = may_map(flags, fd) {
        answer(Err(errno));
        return libc::MAP_FAILED;
    }
    // SAFETY: as the caller's call of libc.
    unsafe { real::mmap64()(addr, bytes, protection, flags, fd, offset) }
}

fn may_map(flags: c_int, fd: c_int) -> Answer<()> {
    if fd < 0 || flags & libc::MAP_ANONYMOUS != 0 {
        return Ok(());
    }
    match state::in_use().and_then(|model| object(model, fd)) {
        Some(Object::GuestMemfd(_, given)) => {
            let kind = flags & libc::MAP_TYPE;
            let is_shared = kind == libc::MAP_SHARED || kind == libc::MAP_SHARED_VALIDATE;
            Machine::may_map(given, is_shared)
        }
        Some(Object::Kvm | Object::Sev | Object::Vm(_) | Object::Vcpu(..)) | None => Ok(()),
    }
}
