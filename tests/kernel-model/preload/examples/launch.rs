//! An SNP launch by system calls alone, for the tests of the preloaded library: says what each step gave, one `name value` a line.
//!
//! `launch` goes through all of it, waits until its standard input ends, and leaves. `launch null` hands the kernel a source of NULL.
//! `launch look PATH` only says what there is at a path.
//!
//! **Invariant:** shares nothing with the model but the numbers of the kernel's headers.

#![expect(
    unsafe_code,
    reason = "a test program; system calls are all that it does"
)]

use std::ffi::c_ulong;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::ptr;

const PAGE: usize = 4096;
const FIRST_GFN: u64 = 0x100;
const PAGES: u64 = 8;

const GET_API_VERSION: c_ulong = 0xae00;
const CREATE_VM: c_ulong = 0xae01;
const CHECK_EXTENSION: c_ulong = 0xae03;
const GET_VCPU_MMAP_SIZE: c_ulong = 0xae04;
const CREATE_VCPU: c_ulong = 0xae41;
const SET_REGION2: c_ulong = 0x40a0_ae49;
const SET_ATTRIBUTES: c_ulong = 0x4020_aed2;
const CREATE_GUEST_MEMFD: c_ulong = 0xc040_aed4;
const GET_DEVICE_ATTR: c_ulong = 0x4018_aee2;
const ENCRYPT_OP: c_ulong = 0xc008_aeba;
const SNP_VM: u64 = 4;

/// Page-aligned memory that is locked.
#[repr(align(4096))]
struct Source([u8; 2 * PAGE]);

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut args = std::env::args().skip(1);
    if let (Some("look"), Some(path)) = (args.next().as_deref(), args.next()) {
        let kind = fs::metadata(&path).map(|status| status.file_type().is_char_device());
        let opened = fs::read_to_string(&path).map_err(|error| error.raw_os_error());
        let kind = kind.map_err(|error| error.raw_os_error());
        return writeln!(out, "look {kind:?} {opened:?}");
    }
    let kvm = OpenOptions::new().read(true).write(true).open("/dev/kvm")?;
    let sev = OpenOptions::new().read(true).write(true).open("/dev/sev")?;
    look(&mut out, &kvm)?;
    let vm = number(&kvm, CREATE_VM, SNP_VM)?;
    // SAFETY: touches no memory; the descriptor was just made, and nobody else knows its number.
    let vm = unsafe { File::from_raw_fd(vm) };
    writeln!(out, "init2 {}", encrypt(&vm, &sev, 22, &mut [0; 6])?)?;
    let memory = memory(&mut out, &vm)?;
    let mut start = [0x3_0000, 0, 0, 0, 0, 0, 0, 0];
    writeln!(out, "start {}", encrypt(&vm, &sev, 100, &mut start)?)?;
    block_signals()?;
    install(&mut out, &vm, &sev)?;
    let vcpu = number(&vm, CREATE_VCPU, 0)?;
    // SAFETY: as for the VM.
    let vcpu = unsafe { OwnedFd::from_raw_fd(vcpu) };
    let area = usize::try_from(number(&kvm, GET_VCPU_MMAP_SIZE, 0)?).unwrap_or(0);
    writeln!(out, "vcpu-mmap {}", map(&vcpu, area))?;
    writeln!(out, "gmem-mmap {}", map(&memory, PAGE))?;
    writeln!(out, "finish {}", encrypt(&vm, &sev, 102, &mut [0; 11])?)?;
    writeln!(out, "child {}", in_child(&vm))?;
    writeln!(out, "done")?;
    out.flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// What a preflight looks at.
fn look(out: &mut impl Write, kvm: &File) -> io::Result<()> {
    let by_path = fs::metadata("/dev/kvm")?.file_type().is_char_device();
    let by_fd = kvm.metadata()?.file_type().is_char_device();
    writeln!(out, "devices {by_path} {by_fd}")?;
    let parameter = fs::read_to_string("/sys/module/kvm_amd/parameters/sev_snp")?;
    writeln!(out, "parameter {}", parameter.trim())?;
    let tdx = fs::metadata("/sys/module/kvm_intel/parameters/tdx");
    writeln!(out, "tdx {:?}", tdx.err().map(|error| error.kind()))?;
    writeln!(out, "api {}", number(kvm, GET_API_VERSION, 0)?)?;
    writeln!(out, "types {}", number(kvm, CHECK_EXTENSION, 235)?)?;
    let mut features = 0_u64;
    let addr = (&raw mut features).expose_provenance() as u64;
    let mut attr = [1 << 32, 0, addr];
    structure(kvm, GET_DEVICE_ATTR, &mut attr)?;
    writeln!(out, "features {features:#x}")
}

/// A private memslot on a guest_memfd.
fn memory(out: &mut impl Write, vm: &File) -> io::Result<OwnedFd> {
    let bytes = PAGES * PAGE as u64;
    let fd = structure(vm, CREATE_GUEST_MEMFD, &mut [bytes, 0, 0, 0, 0, 0, 0, 0])?;
    // SAFETY: touches no memory.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    writeln!(out, "gmem-born-cloexec {}", flags & libc::FD_CLOEXEC != 0)?;
    // SAFETY: touches no memory.
    unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    // SAFETY: touches no memory; the descriptor was just made, and nobody else knows its number.
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

/// Two pages of data, and one of zeros.
fn install(out: &mut impl Write, vm: &File, sev: &File) -> io::Result<()> {
    let mut source = Box::new(Source([0x5a; 2 * PAGE]));
    source.0[PAGE..].fill(0xa5);
    // SAFETY: makes the pages of `source` resident and changes no byte.
    if unsafe { libc::mlock(source.0.as_ptr().cast(), source.0.len()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let addr = if std::env::args().nth(1).as_deref() == Some("null") {
        0
    } else {
        source.0.as_mut_ptr().expose_provenance() as u64
    };
    for (gfn, page_type, pages) in [(FIRST_GFN, 1, 2), (FIRST_GFN + 4, 3, 1)] {
        let uaddr = if page_type == 1 { addr } else { 0 };
        let mut params = [gfn, uaddr, pages * PAGE as u64, page_type, 0, 0, 0, 0];
        let answer = encrypt(vm, sev, 101, &mut params)?;
        writeln!(
            out,
            "update {answer} gfn={:#x} len={:#x}",
            params[0], params[2]
        )?;
    }
    Ok(())
}

/// A command: its answer, and what firmware said.
fn encrypt(vm: &File, sev: &File, id: u64, params: &mut [u64]) -> io::Result<String> {
    let data = params.as_mut_ptr().expose_provenance() as u64;
    let sev_fd = u64::from(sev.as_raw_fd().unsigned_abs());
    let mut command = [id, data, sev_fd << 32];
    let answer = structure(vm, ENCRYPT_OP, &mut command)?;
    Ok(format!("{answer} {:#x}", command[2] & 0xffff_ffff))
}

/// An ioctl with a number.
fn number(file: &File, request: c_ulong, arg: u64) -> io::Result<i32> {
    // SAFETY: touches no memory of this process: the argument is a number.
    let ret = unsafe { libc::ioctl(file.as_raw_fd(), request, arg) };
    if ret < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

/// An ioctl with a structure of 64-bit words.
fn structure(file: &File, request: c_ulong, words: &mut [u64]) -> io::Result<i32> {
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
fn map(fd: &OwnedFd, bytes: usize) -> String {
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
fn in_child(vm: &File) -> i32 {
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

fn block_signals() -> io::Result<()> {
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
