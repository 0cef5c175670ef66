//! `open` and its kin.
//!
//! **Invariant:** a device that is opened twice is two descriptors, like the kernel's.

use std::ffi::{c_char, c_int};
use std::os::fd::{AsRawFd, IntoRawFd};

use stagepages_kernel_model::{Answer, Errno, File, Object, What};

use super::{Placed, answer, placed};
use crate::real::{self, Mode};
use crate::{memfd, state};

#[unsafe(no_mangle)]
unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: Mode) -> c_int {
    match opened(path, flags) {
        Some(placed) => answer(give(&placed, flags)),
        // SAFETY: as the caller's call of libc.
        None => unsafe { real::open()(path, flags, mode) },
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: Mode) -> c_int {
    match opened(path, flags) {
        Some(placed) => answer(give(&placed, flags)),
        // SAFETY: as the caller's call of libc.
        None => unsafe { real::open64()(path, flags, mode) },
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn openat(at: c_int, path: *const c_char, flags: c_int, mode: Mode) -> c_int {
    match opened(path, flags) {
        Some(placed) => answer(give(&placed, flags)),
        // SAFETY: as the caller's call of libc.
        None => unsafe { real::openat()(at, path, flags, mode) },
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn openat64(at: c_int, path: *const c_char, flags: c_int, mode: Mode) -> c_int {
    match opened(path, flags) {
        Some(placed) => answer(give(&placed, flags)),
        // SAFETY: as the caller's call of libc.
        None => unsafe { real::openat64()(at, path, flags, mode) },
    }
}

/// What the model puts at a path that is opened. One that is only named (`O_PATH`), to make a rule of Landlock for it, is the real one's: no rule can be made
/// for what has no file system.
fn opened(path: *const c_char, flags: c_int) -> Option<Placed> {
    placed(path).filter(|_| flags & libc::O_PATH == 0)
}

/// Opens what the model has at a path.
fn give(placed: &Placed, flags: c_int) -> Answer {
    let cloexec = flags & libc::O_CLOEXEC != 0;
    let opened = match (&placed.file, placed.path.as_str()) {
        (File::Absent, _) => Err(Errno::ENOENT),
        (File::Errno(refusal), _) => Err(Errno(refusal.errno)),
        (File::Contents(_), "/dev/kvm") => device(placed, Object::Kvm, cloexec),
        (File::Contents(_), "/dev/sev") => device(placed, Object::Sev, cloexec),
        (File::Contents(contents), _) => memfd::with_contents(contents, cloexec),
    };
    placed.model.trace.tell(What::Open {
        path: placed.path.clone(),
        ret: match opened {
            Ok(fd) => fd.into(),
            Err(errno) => -i64::from(errno.0),
        },
    });
    opened
}

fn device(placed: &Placed, object: Object, cloexec: bool) -> Answer {
    let name = if object == Object::Sev {
        memfd::SEV
    } else {
        memfd::KVM
    };
    let fd = memfd::create(name, 0, cloexec)?;
    let file = memfd::identify(fd.as_raw_fd()).ok_or(Errno::EIO)?;
    placed.model.machine.register(file, object);
    state::mark_in_use();
    Ok(fd.into_raw_fd())
}
