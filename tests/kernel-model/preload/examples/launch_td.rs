//! A TDX launch by system calls alone, for the tests of the preloaded library: says what each step gave, one `name value` a line.
//!
//! `launch_td` goes through all of it, waits until its standard input ends, and leaves. `launch_td null` hands the kernel a source of NULL.
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

use self::system::{
    CREATE_VCPU, CREATE_VM, ENCRYPT_OP, FIRST_GFN, PAGE, Source, block_signals, descriptor,
    devices, in_child, map, memory, rest, structure, version,
};

const ENABLE_CAP: c_ulong = 0x4068_aea3;
const CREATE_IRQCHIP: c_ulong = 0xae60;
const GET_REGS: c_ulong = 0x8090_ae81;
const SET_CPUID2: c_ulong = 0x4008_ae90;
const TDX_VM: u64 = 5;
const SPLIT_IRQCHIP: u64 = 121;

const CAPABILITIES: u64 = 0;
const INIT_VM: u64 = 1;
const INIT_VCPU: u64 = 2;
const INIT_MEM_REGION: u64 = 3;
const FINALIZE_VM: u64 = 4;
const MEASURE: u64 = 1;

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let kvm = OpenOptions::new().read(true).write(true).open("/dev/kvm")?;
    devices(&mut out, &kvm)?;
    let parameter = fs::read_to_string("/sys/module/kvm_intel/parameters/tdx")?;
    writeln!(out, "parameter {}", parameter.trim())?;
    version(&mut out, &kvm)?;
    let vm = File::from(descriptor(&kvm, CREATE_VM, TDX_VM)?);
    capabilities(&mut out, &vm)?;
    writeln!(out, "early-vcpu {}", errno(descriptor(&vm, CREATE_VCPU, 0)))?;
    writeln!(out, "init-vm {}", init_vm(&vm)?)?;
    let memory = memory(&mut out, &vm)?;
    let mut cap = [0; 13];
    cap[..2].copy_from_slice(&[SPLIT_IRQCHIP, 24]);
    structure(&vm, ENABLE_CAP, &mut cap)?;
    block_signals()?;
    let vcpu = File::from(descriptor(&vm, CREATE_VCPU, 0)?);
    // Leaf 1 with nothing but the x2APIC, which is bit 21 of ECX.
    let mut cpuid = [1, 1, 0, 1 << (32 + 21), 0, 0];
    structure(&vcpu, SET_CPUID2, &mut cpuid)?;
    writeln!(out, "init-vcpu {}", encrypt(&vcpu, INIT_VCPU, 0, 0x1234)?)?;
    install(&mut out, &vcpu)?;
    writeln!(
        out,
        "registers {}",
        errno(structure(&vcpu, GET_REGS, &mut [0; 18]))
    )?;
    writeln!(out, "gmem-mmap {}", map(&memory, PAGE))?;
    writeln!(out, "finalize {}", encrypt(&vm, FINALIZE_VM, 0, 0)?)?;
    writeln!(out, "child {}", in_child(&vm))?;
    if std::env::args().nth(1).as_deref() == Some("irqchip") {
        structure(&vm, CREATE_IRQCHIP, &mut [])?;
    }
    rest(&mut out)
}

/// struct kvm_tdx_capabilities: 256 words, then the table of CPUID, once with too little room.
fn capabilities(out: &mut impl Write, vm: &File) -> io::Result<()> {
    let mut words = [0_u64; 257 + 64 * 5];
    let data = words.as_mut_ptr().expose_provenance() as u64;
    writeln!(out, "no-room {}", errno(encrypt(vm, CAPABILITIES, 0, data)))?;
    words[256] = 64;
    let answer = encrypt(vm, CAPABILITIES, 0, data)?;
    let [attributes, xfam] = [words[0], words[1]];
    writeln!(
        out,
        "capabilities {answer} attributes={attributes:#x} xfam={xfam:#x} leaves={}",
        words[256]
    )
}

/// struct kvm_tdx_init_vm: 32 words, then a table with the width of guest physical addresses.
fn init_vm(vm: &File) -> io::Result<String> {
    let mut words = [0_u64; 38];
    words[..2].copy_from_slice(&[1 << 28, 3]);
    words[32..36].copy_from_slice(&[1, 0x8000_0008, 48 << 48, 0]);
    encrypt(
        vm,
        INIT_VM,
        0,
        words.as_mut_ptr().expose_provenance() as u64,
    )
}

/// Two pages that are measured, and one of which only the place is.
fn install(out: &mut impl Write, vcpu: &File) -> io::Result<()> {
    let mut source = Source::locked()?;
    let addr = source.address();
    for (gfn, pages, flags) in [(FIRST_GFN, 2, MEASURE), (FIRST_GFN + 4, 1, 0)] {
        let mut region = [addr, gfn * PAGE as u64, pages];
        let data = region.as_mut_ptr().expose_provenance() as u64;
        let answer = match encrypt(vcpu, INIT_MEM_REGION, flags, data) {
            Ok(answer) => answer,
            refused @ Err(_) => format!("errno {}", errno(refused)),
        };
        let [left_at, gpa, left] = region;
        let read = left_at - addr;
        writeln!(
            out,
            "region {answer} read={read:#x} gpa={gpa:#x} left={left}"
        )?;
    }
    Ok(())
}

/// A command: its answer, and what the module said.
fn encrypt(file: &File, id: u64, flags: u64, data: u64) -> io::Result<String> {
    let mut command = [id | flags << 32, data, 0];
    let answer = structure(file, ENCRYPT_OP, &mut command)?;
    Ok(format!("{answer} {:#x}", command[2]))
}

/// The errno of what failed, 0 for what did not.
fn errno<T>(result: io::Result<T>) -> i32 {
    result
        .err()
        .and_then(|error| error.raw_os_error())
        .unwrap_or(0)
}
