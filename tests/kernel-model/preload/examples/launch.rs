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

mod system;

use std::ffi::c_ulong;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;

use self::system::{
    CREATE_VCPU, CREATE_VM, ENCRYPT_OP, FIRST_GFN, PAGE, Source, block_signals, descriptor,
    devices, in_child, map, memory, number, rest, structure, version,
};

const GET_VCPU_MMAP_SIZE: c_ulong = 0xae04;
const GET_DEVICE_ATTR: c_ulong = 0x4018_aee2;
const SNP_VM: u64 = 4;

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
    let vm = File::from(descriptor(&kvm, CREATE_VM, SNP_VM)?);
    writeln!(out, "init2 {}", encrypt(&vm, &sev, 22, &mut [0; 6])?)?;
    let memory = memory(&mut out, &vm)?;
    let mut start = [0x3_0000, 0, 0, 0, 0, 0, 0, 0];
    writeln!(out, "start {}", encrypt(&vm, &sev, 100, &mut start)?)?;
    block_signals()?;
    install(&mut out, &vm, &sev)?;
    let vcpu = descriptor(&vm, CREATE_VCPU, 0)?;
    let area = usize::try_from(number(&kvm, GET_VCPU_MMAP_SIZE, 0)?).unwrap_or(0);
    writeln!(out, "vcpu-mmap {}", map(&vcpu, area))?;
    writeln!(out, "gmem-mmap {}", map(&memory, PAGE))?;
    writeln!(out, "finish {}", encrypt(&vm, &sev, 102, &mut [0; 11])?)?;
    writeln!(out, "child {}", in_child(&vm))?;
    rest(&mut out)
}

/// What a preflight looks at.
fn look(out: &mut impl Write, kvm: &File) -> io::Result<()> {
    devices(out, kvm)?;
    let parameter = fs::read_to_string("/sys/module/kvm_amd/parameters/sev_snp")?;
    writeln!(out, "parameter {}", parameter.trim())?;
    let tdx = fs::metadata("/sys/module/kvm_intel/parameters/tdx");
    writeln!(out, "tdx {:?}", tdx.err().map(|error| error.kind()))?;
    version(out, kvm)?;
    let mut features = 0_u64;
    let addr = (&raw mut features).expose_provenance() as u64;
    let mut attr = [1 << 32, 0, addr];
    structure(kvm, GET_DEVICE_ATTR, &mut attr)?;
    writeln!(out, "features {features:#x}")
}

/// Two pages of data, and one of zeros.
fn install(out: &mut impl Write, vm: &File, sev: &File) -> io::Result<()> {
    let mut source = Source::locked()?;
    let addr = source.address();
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
