//! `stat` and its kin, and `access`.
//!
//! **Invariant:** what the model has at a path is there for everybody, and belongs to root.

use std::ffi::{c_char, c_int, c_uint};

use libc::{S_IFCHR, S_IFMT, S_IFREG, mode_t};
use stagepages_kernel_model::{Answer, Errno, File, Object};

use super::{Placed, answer, object, placed};
use crate::{real, state};

/// 10 is the misc devices' major number; KVM's minor is fixed, SEV's is not.
const KVM_DEVICE: (c_uint, c_uint) = (10, 232);
const SEV_DEVICE: (c_uint, c_uint) = (10, 125);

/// The errnos of a path at which there is nothing.
const NOTHING_THERE: [c_int; 4] = [libc::ENOENT, libc::ENOTDIR, libc::ELOOP, libc::ENAMETOOLONG];

/// What is shown of a file.
#[derive(Clone, Copy)]
struct Shown {
    mode: mode_t,
    device: (c_uint, c_uint),
    bytes: i64,
}

macro_rules! stat_by_path {
    ($($name:ident)+) => {
        $(
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name(path: *const c_char, status: *mut libc::stat) -> c_int {
                match placed(path) {
                    // SAFETY: the buffer is the caller's, as for libc.
                    Some(placed) => answer(look(&placed).map(|shown| unsafe { fill(shown, status) })),
                    // SAFETY: as the caller's call of libc.
                    None => unsafe { real::$name()(path, status) },
                }
            }
        )+
    };
}

macro_rules! stat_by_descriptor {
    ($($name:ident)+) => {
        $(
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name(fd: c_int, status: *mut libc::stat) -> c_int {
                // SAFETY: as the caller's call of libc.
                let ret = unsafe { real::$name()(fd, status) };
                if ret == 0 && let Some(shown) = device(fd) {
                    // SAFETY: the call succeeded, so the buffer is there, and filled.
                    unsafe { amend(shown, status) };
                }
                ret
            }
        )+
    };
}

macro_rules! stat_at {
    ($($name:ident)+) => {
        $(
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name(
                at: c_int,
                path: *const c_char,
                status: *mut libc::stat,
                flags: c_int,
            ) -> c_int {
                match placed(path) {
                    // SAFETY: the buffer is the caller's, as for libc.
                    Some(placed) => answer(look(&placed).map(|shown| unsafe { fill(shown, status) })),
                    // SAFETY: as the caller's call of libc.
                    None => unsafe { real::$name()(at, path, status, flags) },
                }
            }
        )+
    };
}

stat_by_path! { stat stat64 lstat lstat64 }
stat_by_descriptor! { fstat fstat64 }
stat_at! { fstatat fstatat64 }

#[unsafe(no_mangle)]
unsafe extern "C" fn statx(
    at: c_int,
    path: *const c_char,
    flags: c_int,
    mask: c_uint,
    status: *mut libc::statx,
) -> c_int {
    if let Some(placed) = placed(path) {
        // SAFETY: the buffer is the caller's, as for libc.
        return answer(look(&placed).map(|shown| unsafe { fill_extended(shown, status) }));
    }
    // SAFETY: as the caller's call of libc.
    let ret = unsafe { real::statx()(at, path, flags, mask, status) };
    if ret == 0
        && flags & libc::AT_EMPTY_PATH != 0
        && let Some(shown) = device(at)
    {
        // SAFETY: the call succeeded, so the buffer is there.
        unsafe { fill_extended(shown, status) };
    }
    ret
}

#[unsafe(no_mangle)]
unsafe extern "C" fn access(path: *const c_char, mode: c_int) -> c_int {
    match placed(path) {
        Some(placed) => answer(may_open(&placed)),
        // SAFETY: as the caller's call of libc.
        None => unsafe { real::access()(path, mode) },
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn faccessat(at: c_int, path: *const c_char, mode: c_int, flags: c_int) -> c_int {
    match placed(path) {
        Some(placed) => answer(may_open(&placed)),
        // SAFETY: as the caller's call of libc.
        None => unsafe { real::faccessat()(at, path, mode, flags) },
    }
}

/// What a path of the model shows. What cannot be opened is there all the same, with no permission for anybody, unless there is nothing.
fn look(placed: &Placed) -> Answer<Shown> {
    let shown = match (&placed.file, placed.path.as_str()) {
        (File::Absent, _) => return Err(Errno::ENOENT),
        (File::Errno(refusal), _) if NOTHING_THERE.contains(&refusal.errno) => {
            return Err(Errno(refusal.errno));
        }
        (_, "/dev/kvm") => Shown::device(KVM_DEVICE),
        (_, "/dev/sev") => Shown::device(SEV_DEVICE),
        (File::Contents(contents), _) => Shown::file(contents.len()),
        (File::Errno(_), _) => Shown::file(0),
    };
    Ok(match placed.file {
        File::Errno(_) => Shown {
            mode: shown.mode & S_IFMT,
            ..shown
        },
        File::Contents(_) | File::Absent => shown,
    })
}

/// What `access` says of a path of the model.
fn may_open(placed: &Placed) -> Answer {
    match &placed.file {
        File::Errno(refusal) => Err(Errno(refusal.errno)),
        File::Contents(_) | File::Absent => look(placed).map(|_| 0),
    }
}

/// What an open device of the model shows, if this is one.
fn device(fd: c_int) -> Option<Shown> {
    match object(state::in_use()?, fd)? {
        Object::Kvm => Some(Shown::device(KVM_DEVICE)),
        Object::Sev => Some(Shown::device(SEV_DEVICE)),
        Object::Vm(_) | Object::Vcpu(..) | Object::GuestMemfd(..) => None,
    }
}

impl Shown {
    fn file(bytes: usize) -> Self {
        Self {
            mode: S_IFREG | 0o444,
            device: (0, 0),
            bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
        }
    }

    fn device(device: (c_uint, c_uint)) -> Self {
        Self {
            mode: S_IFCHR | 0o666,
            device,
            bytes: 0,
        }
    }
}

/// Fills a buffer from nothing.
///
/// # Safety
///
/// `status` points to a buffer of its type that nobody else uses.
unsafe fn fill(shown: Shown, status: *mut libc::stat) -> c_int {
    // SAFETY: writes the buffer that the caller vouches for; all zeros are a value of the type, which is integers only.
    unsafe { status.write_bytes(0, 1) };
    // SAFETY: as above, and it was filled just now.
    unsafe { amend(shown, status) };
    0
}

/// Changes what a buffer says of type, permissions, device and size.
///
/// # Safety
///
/// `status` points to a filled buffer of its type that nobody else uses.
unsafe fn amend(shown: Shown, status: *mut libc::stat) {
    // SAFETY: the caller vouches for the buffer.
    let status = unsafe { &mut *status };
    status.st_mode = shown.mode;
    status.st_nlink = 1;
    status.st_rdev = libc::makedev(shown.device.0, shown.device.1);
    status.st_size = shown.bytes;
    status.st_blksize = 4096;
}

/// As [`fill`], for `statx`.
///
/// # Safety
///
/// `status` points to a buffer of its type that nobody else uses.
unsafe fn fill_extended(shown: Shown, status: *mut libc::statx) -> c_int {
    // SAFETY: writes the buffer that the caller vouches for; all zeros are a value of the type, which is integers only.
    unsafe { status.write_bytes(0, 1) };
    // SAFETY: as above, and it was filled just now.
    let status = unsafe { &mut *status };
    status.stx_mask = libc::STATX_BASIC_STATS;
    // The type and the permissions are 16 bits.
    status.stx_mode = u16::try_from(shown.mode).unwrap_or(0);
    status.stx_nlink = 1;
    (status.stx_rdev_major, status.stx_rdev_minor) = shown.device;
    status.stx_size = shown.bytes.unsigned_abs();
    status.stx_blksize = 4096;
    0
}
