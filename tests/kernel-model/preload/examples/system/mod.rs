//! The system calls of a launch that are the same for SNP and TDX.
//!
//! **Invariant:** shares nothing with the model but the numbers of the kernel's headers.

use std::ffi::c_ulong;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::ptr;

pub(crate) const PAGE: usize = 4096;
pub(crate) const FIRST_GFN: u64 = 0x100;
const PAGES: u64 = 8;

const GET_API_VERSION: c_ulong = 0xae00;
pub(crate) const CREATE_VM: c_ulong = 0xae01;
const CHECK_EXTENSION: c_ulong = 0xae03;
pub(crate) const CREATE_VCPU: c_ulong = 0xae41;
const SET_REGION2: c_ulong = 0x40a0_ae49;
const SET_ATTRIBUTES: c_ulong = 0x4020_aed2;
const CREATE_GUEST_MEMFD: c_ulong = 0xc040_aed4;
pub(crate) const ENCRYPT_OP: c_ulong = 0xc008_aeba;

/// Page-aligned memory that is locked.
#[repr(align(4096))]
pub(crate) struct Source([u8; 2 * PAGE]);

impl Source {
    /// A page of 0x5a and one of 0xa5.
    pub(crate) fn locked() -> io::Result<Box<Self>> {
        let mut source = Box::new(Self([0x5a; 2 * PAGE]));
        source.0[PAGE..].fill(0xa5);
        // SAFETY: makes the pages of `source` resident and changes no byte.
        if unsafe { libc::mlock(source.0.as_ptr().cast(), source.0.len()) } == 0 {
            Ok(source)
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Where it lies; for a program that was started with the argument `null`, nowhere.
    pub(crate) fn address(&mut self) -> u64 {
        if std::env::args().nth(1).as_deref() == Some("null") {
            0
        } else {
            self.0.as_mut_ptr().expose_provenance() as u64
        }
    }
}

/// What kind of file `/dev/kvm` is, by path and by descriptor.
pub(crate) fn devices(out: &mut impl Write, kvm: &File) -> io::Result<()> {
    let by_path = fs::metadata("/dev/kvm")?.file_type().is_char_device();
    let by_fd = kvm.metadata()?.file_type().is_char_device();
    writeln!(out, "devices {by_path} {by_fd}")
}

/// KVM's version, and the types of VM.
pub(crate) fn version(out: &mut impl Write, kvm: &File) -> io::Result<()> {
    writeln!(out, "api {}", number(kvm, GET_API_VERSION, 0)?)?;
    writeln!(out, "types {}", number(kvm, CHECK_EXTENSION, 235)?)
}

/// A private memslot on a guest_memfd.
pub(crate) fn memory(out: &mut impl Write, vm: &File) -> io::Result<OwnedFd> {
    let bytes = PAGES * PAGE as u64;
    let fd = structure(vm, CREATE_GUEST_MEMFD, &mut [bytes, 0, 0, 0, 0, 0, 0, 0])?;
    // SAFETY: touches no memory.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    writeln!(out, "gmem-born-cloexec {}", flags & libc::FD_CLOEXEC != 0)?;
    // SAFETY: touches no memory.
    unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    // SAFETY: as in `descriptor`.
    let memory = unsafe { OwnedFd::from_raw_fd(fd) };
    let gpa = FIRST_GFN * PAGE as u64;
    let mut region = [0; 20];
    region[..6].copy_from_slice(&[
        4 << 32,
        gpa,
        bytes,
        0x10_0000,
        0,
        u64::from(fd.unsigned_abs()),
    ]);
    structure(vm, SET_REGION2, &mut region)?;
    structure(vm, SET_ATTRIBUTES, &mut [gpa, bytes, 8, 0])?;
    Ok(memory)
}

/// Says that all is done, and stays until nobody needs it any more.
pub(crate) fn rest(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "done")?;
    out.flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// An ioctl with a number that makes a descriptor.
pub(crate) fn descriptor(file: &File, request: c_ulong, arg: u64) -> io::Result<OwnedFd> {
    let fd = number(file, request, arg)?;
    // SAFETY: touches no memory; the descriptor was just made, and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An ioctl with a number.
pub(crate) fn number(file: &File, request: c_ulong, arg: u64) -> io::Result<i32> {
    // SAFETY: touches no memory of this process: the argument is a number.
    let ret = unsafe { libc::ioctl(file.as_raw_fd(), request, arg) };
    if ret < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

/// An ioctl with a structure of 64-bit words.
pub(crate) fn structure(file: &File, request: c_ulong, words: &mut [u64]) -> io::Result<i32> {
    // SAFETY: reads and writes the words, borrowed mutably: as many as the request's number says. What addresses they hold are those
    // of memory that the callers own.
    let ret = unsafe { libc::ioctl(file.as_raw_fd(), request, words.as_mut_ptr()) };
    if ret < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

/// `mapped`, or why not.
pub(crate) fn map(fd: &OwnedFd, bytes: usize) -> String {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: makes a new mapping, where there is none; it is never touched.
    let address = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            protection,
            libc::MAP_SHARED,
            fd.as_raw_fd(),
            0,
        )
    };
    if address == libc::MAP_FAILED {
        format!("{:?}", io::Error::last_os_error().raw_os_error())
    } else {
        "mapped".into()
    }
}

/// The errno that a forked child gets of the VM.
pub(crate) fn in_child(vm: &File) -> i32 {
    // SAFETY: the process has one thread, so its child may do what it did.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let errno = number(vm, CHECK_EXTENSION, 235).err();
        let code = errno.and_then(|error| error.raw_os_error()).unwrap_or(0);
        // SAFETY: ends the child without what its parent registered.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: writes `status`.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    libc::WEXITSTATUS(status)
}

pub(crate) fn block_signals() -> io::Result<()> {
    let mask = u64::MAX;
    // SAFETY: reads the 8 bytes of `mask`, and forgets the old one.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            ptr::null_mut::<u64>(),
            size_of::<u64>(),
        )
    };
    if ret == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
