//! The functions that this library hides.
//!
//! **Invariant:** looked up once each, without a lock: two threads that look up the same find the same.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::mem::transmute_copy;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use libc::{mode_t, off_t, size_t};

use crate::state::die;

/// A symbol's next definition.
struct Symbol {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
}

impl Symbol {
    const fn new(name: &'static CStr) -> Self {
        Self {
            name,
            address: AtomicPtr::new(ptr::null_mut()),
        }
    }

    fn address(&self) -> *mut c_void {
        let known = self.address.load(Ordering::Acquire);
        if !known.is_null() {
            return known;
        }
        // SAFETY: reads the name, a static string that ends in a zero byte.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        if found.is_null() {
            die(&format!("libc has no {}", self.name.to_string_lossy()));
        }
        self.address.store(found, Ordering::Release);
        found
    }
}

macro_rules! originals {
    ($($name:ident = $symbol:literal: $type:ty;)+) => {
        $(
            #[doc = concat!("libc's `", stringify!($name), "`.")]
            pub(crate) fn $name() -> $type {
                static SYMBOL: Symbol = Symbol::new($symbol);
                let address = SYMBOL.address();
                // SAFETY: copies one pointer of the size of a function's. It is not null, and points to the function that libc
                // exports by this name, whose type is the one declared here.
                unsafe { transmute_copy::<*mut c_void, $type>(&address) }
            }
        )+
    };
}

type Stat = unsafe extern "C" fn(*const c_char, *mut libc::stat) -> c_int;

originals! {
    open = c"open": unsafe extern "C" fn(*const c_char, c_int, ...) -> c_int;
    open64 = c"open64": unsafe extern "C" fn(*const c_char, c_int, ...) -> c_int;
    openat = c"openat": unsafe extern "C" fn(c_int, *const c_char, c_int, ...) -> c_int;
    openat64 = c"openat64": unsafe extern "C" fn(c_int, *const c_char, c_int, ...) -> c_int;
    stat = c"stat": Stat;
    stat64 = c"stat64": Stat;
    lstat = c"lstat": Stat;
    lstat64 = c"lstat64": Stat;
    fstat = c"fstat": unsafe extern "C" fn(c_int, *mut libc::stat) -> c_int;
    fstat64 = c"fstat64": unsafe extern "C" fn(c_int, *mut libc::stat) -> c_int;
    fstatat = c"fstatat": unsafe extern "C" fn(c_int, *const c_char, *mut libc::stat, c_int) -> c_int;
    fstatat64 = c"fstatat64": unsafe extern "C" fn(c_int, *const c_char, *mut libc::stat, c_int) -> c_int;
    statx = c"statx": unsafe extern "C" fn(c_int, *const c_char, c_int, c_uint, *mut libc::statx) -> c_int;
    access = c"access": unsafe extern "C" fn(*const c_char, c_int) -> c_int;
    faccessat = c"faccessat": unsafe extern "C" fn(c_int, *const c_char, c_int, c_int) -> c_int;
    ioctl = c"ioctl": unsafe extern "C" fn(c_int, c_ulong, ...) -> c_int;
    mmap = c"mmap": unsafe extern "C" fn(*mut c_void, size_t, c_int, c_int, c_int, off_t) -> *mut c_void;
    mmap64 = c"mmap64": unsafe extern "C" fn(*mut c_void, size_t, c_int, c_int, c_int, off_t) -> *mut c_void;
    fcntl = c"fcntl": unsafe extern "C" fn(c_int, c_int, ...) -> c_int;
    fcntl64 = c"fcntl64": unsafe extern "C" fn(c_int, c_int, ...) -> c_int;
    syscall = c"syscall": unsafe extern "C" fn(c_long, ...) -> c_long;
    fallocate = c"fallocate": unsafe extern "C" fn(c_int, c_int, off_t, off_t) -> c_int;
    fallocate64 = c"fallocate64": unsafe extern "C" fn(c_int, c_int, off_t, off_t) -> c_int;
}

/// The type of a mode, where a path is opened.
pub(crate) type Mode = mode_t;
