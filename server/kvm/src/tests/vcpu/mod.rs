//! vCPUs that run: small guests, whose code is written down here byte by byte.
//!
//! A guest has 64 KiB of memory from address 0 on. Its code starts at 0x1000, its page tables are at 0x2000, its data at 0x5000.
//!
//! **Invariant:** no test waits for a time; what another vCPU or thread has done is told by that vCPU or thread.

mod exits;
mod kicks;
mod long_mode;
mod memory;
mod processes;
mod registers;

use std::sync::Arc;

use super::{kvm, memory, vm};
use crate::{Exit, Gfn, GfnRange, Guest, Mapping, RunnableVcpu, RunningVm, Vcpu, Vm};

/// Pages of memory that a guest has.
const PAGES: u64 = 16;
/// The address of the first vCPU's code.
const CODE: u64 = 0x1000;
/// The address of the data.
const DATA: u64 = 0x5000;

/// A VM with memory that holds `parts`: each its address, a multiple of 4096, and its bytes.
fn vm_with(test: &str, parts: &[(u64, &[u8])]) -> Option<(Vm, Mapping<Guest>)> {
    let mut vm = vm(test)?;
    let mut memory = memory(&vm, PAGES).map().unwrap();
    for (address, bytes) in parts {
        memory.copy_in(address / 0x1000, bytes).unwrap();
    }
    let all = GfnRange::new(Gfn::new(0).unwrap(), PAGES).unwrap();
    vm.set_memory_region(0, all, &memory, 0).unwrap();
    Some((vm, memory))
}

/// A guest with a vCPU in real mode for each of `entries`.
fn real_mode<const N: usize>(
    test: &str,
    parts: &[(u64, &[u8])],
    entries: [u64; N],
) -> Option<[RunnableVcpu; N]> {
    let (vm, memory) = vm_with(test, parts)?;
    let mut index = 0;
    let vcpus = entries.map(|entry| {
        let vcpu = vm.create_vcpu(index).unwrap();
        index += 1;
        enter_real_mode(&vcpu, entry);
        vcpu
    });
    let vm = running(vm, memory);
    Some(vcpus.map(|vcpu| vcpu.attach(&vm).unwrap()))
}

/// A guest with one vCPU in real mode, and with data.
fn one(test: &str, code: &[u8], data: &[u8]) -> Option<RunnableVcpu> {
    real_mode(test, &[(CODE, code), (DATA, data)], [CODE]).map(|[vcpu]| vcpu)
}

fn running(vm: Vm, memory: Mapping<Guest>) -> Arc<RunningVm> {
    Arc::new(vm.into_running(vec![memory]).unwrap())
}

fn enter_real_mode(vcpu: &Vcpu, entry: u64) {
    let mut system = vcpu.system_registers().unwrap();
    system.cs.base = 0;
    system.cs.selector = 0;
    vcpu.set_system_registers(&system).unwrap();
    let mut general = vcpu.general_registers().unwrap();
    general.rip = entry;
    vcpu.set_general_registers(&general).unwrap();
}

/// Runs to the next exit, which must be a write to `port`; returns what was written.
fn output(vcpu: &mut RunnableVcpu, port: u16) -> Vec<u8> {
    let exit = vcpu.run().unwrap();
    let Exit::PortOut { port: at, data, .. } = &exit else {
        panic!("{exit:?}");
    };
    assert_eq!(*at, port);
    data.to_vec()
}

/// Runs to the next exit, which must be HLT.
fn halt(vcpu: &mut RunnableVcpu) {
    let exit = vcpu.run().unwrap();
    assert!(matches!(exit, Exit::Halt), "{exit:?}");
}
