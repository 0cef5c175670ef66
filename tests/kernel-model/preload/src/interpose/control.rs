//! `ioctl`, `fcntl` and `fallocate`.
//!
//! **Invariant:** an ioctl that is neither KVM's nor SEV's costs one comparison.

use std::ffi::{CStr, c_int, c_ulong};
use std::fs;
use std::os::unix::ffi::OsStrExt;

use libc::off_t;
use stagepages_kernel_model::{Answer, Errno, Note, Object, What};

use super::{answer, object};
use crate::process::Process;
use crate::state::{self, Loaded};
use crate::{memfd, real};

const KVMIO: c_ulong = 0xae;
const SEV_IOC_TYPE: c_ulong = 0x53;

#[unsafe(no_mangle)]
unsafe extern "C" fn ioctl(fd: c_int, request: c_ulong, arg: c_ulong) -> c_int {
    match modelled_ioctl(fd, request, arg) {
        Some(done) => answer(done),
        // SAFETY: as the caller's call of libc.
        None => unsafe { real::ioctl()(fd, request, arg) },
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fcntl(fd: c_int, command: c_int, arg: c_ulong) -> c_int {
    match modelled_fcntl(fd, command, arg) {
        Some(done) => answer(done),
        // SAFETY: as the caller's call of libc.
        None => unsafe { real::fcntl()(fd, command, arg) },
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fcntl64(fd: c_int, command: c_int, arg: c_ulong) -> c_int {
    match modelled_fcntl(fd, command, arg) {
        Some(done) => answer(done),
        // SAFETY: as the caller's call of libc.
        None => unsafe { real::fcntl64()(fd, command, arg) },
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fallocate(fd: c_int, mode: c_int, offset: off_t, bytes: off_t) -> c_int {
    match modelled_fallocate(fd, mode, offset, bytes) {
        Some(done) => answer(done),
        // SAFETY: as the caller's call of libc.
        None => unsafe { real::fallocate()(fd, mode, offset, bytes) },
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fallocate64(fd: c_int, mode: c_int, offset: off_t, bytes: off_t) -> c_int {
    match modelled_fallocate(fd, mode, offset, bytes) {
        Some(done) => answer(done),
        // SAFETY: as the caller's call of libc.
        None => unsafe { real::fallocate64()(fd, mode, offset, bytes) },
    }
}

fn modelled_ioctl(fd: c_int, request: c_ulong, arg: c_ulong) -> Option<Answer> {
    let kind = request >> 8 & 0xff;
    if kind != KVMIO && kind != SEV_IOC_TYPE {
        return None;
    }
    // Not `in_use`: a descriptor may have been inherited by a process that has opened nothing itself.
    let model = state::loaded()?;
    if let Some(object) = object(model, fd) {
        // An int in C; a caller that declares it so may have left anything in the upper half.
        let request = request & 0xffff_ffff;
        let done = model.machine.ioctl(&Process(model), object, request, arg);
        // A filter of the program's that does not know this number is to end it, as it would on a real kernel; no file has this descriptor.
        // SAFETY: touches no memory.
        unsafe { real::ioctl()(-1, request, 0) };
        return Some(done);
    }
    foreign(fd)
}

/// A VM or a vCPU of another process, or of the one that this was forked from, is EIO here (kernel.md section 6).
fn foreign(fd: c_int) -> Option<Answer> {
    let target = fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
    let is = |name: &CStr| {
        let name = [b"/memfd:", name.to_bytes(), b" (deleted)"].concat();
        target.as_os_str().as_bytes() == name
    };
    (is(memfd::VM) || is(memfd::VCPU)).then_some(Err(Errno::EIO))
}

/// Notes what is done to the flags of a guest_memfd, and refuses it what a guest_memfd has not: seals.
fn modelled_fcntl(fd: c_int, command: c_int, arg: c_ulong) -> Option<Answer> {
    let name = match command {
        libc::F_SETFD => "F_SETFD",
        libc::F_DUPFD => "F_DUPFD",
        libc::F_DUPFD_CLOEXEC => "F_DUPFD_CLOEXEC",
        libc::F_ADD_SEALS | libc::F_GET_SEALS => "seals",
        _ => return None,
    };
    let model = state::in_use()?;
    let Object::GuestMemfd(vm, _) = object(model, fd)? else {
        return None;
    };
    let done = if name == "seals" {
        Err(Errno::EINVAL)
    } else {
        // SAFETY: touches no memory: none of these commands has a pointer.
        match unsafe { real::fcntl()(fd, command, arg) } {
            -1 => Err(memfd::last()),
            ret => Ok(ret),
        }
    };
    let mut note = Note::new("fcntl");
    note.vm = Some(vm);
    note.detail = Some(format!("{name} fd={fd} arg={arg:#x}"));
    tell(model, note, done);
    Some(done)
}

fn modelled_fallocate(fd: c_int, mode: c_int, offset: off_t, bytes: off_t) -> Option<Answer> {
    let model = state::in_use()?;
    let Object::GuestMemfd(..) = object(model, fd)? else {
        return None;
    };
    let file = memfd::identify(fd)?;
    Some(
        model
            .machine
            .fallocate(&Process(model), (fd, file), mode, offset, bytes),
    )
}

fn tell(model: &Loaded, mut note: Note, done: Answer) {
    note.ret = Some(done.map_or(-1, i64::from));
    note.errno = done.err().map(|errno| errno.0);
    model.trace.tell(What::End(note));
}
