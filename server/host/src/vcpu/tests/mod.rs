//! Every rule: what is let through, what is refused, and by what name.

mod addresses;
mod control;
mod segments;

use stagepages_kvm::{Gfn, GfnRange};

use super::*;
use crate::protocol::{General, LongMode as Long, RealMode as Real, Registers as Set, Segment};

const PML4: u64 = 0x20_3000;

/// One region, from 2 MiB to 3 MiB.
fn memory() -> Memory<()> {
    let region = GfnRange::new(Gfn::new(0x200).unwrap(), 0x100).unwrap();
    Memory::plan(&[region]).unwrap()
}

fn state_on(cpu: CpuModel, start: VcpuStart) -> Result<VcpuState, Refusal> {
    let vcpu = protocol::Vcpu {
        index: 1,
        start: Some(start),
    };
    VcpuState::new(
        &vcpu,
        &Rules {
            cpu,
            memory: &memory(),
        },
    )
}

fn state(start: VcpuStart) -> Result<VcpuState, Refusal> {
    state_on(CpuModel::generous(), start)
}

fn set(change: impl FnOnce(&mut Set)) -> Result<VcpuState, Refusal> {
    let mut registers = long_registers();
    change(&mut registers);
    state(VcpuStart::Registers(Box::new(registers)))
}

fn real_set(change: impl FnOnce(&mut Set)) -> Result<VcpuState, Refusal> {
    let mut registers = Set::default();
    change(&mut registers);
    state(VcpuStart::Registers(Box::new(registers)))
}

/// 32-bit protected mode without paging.
fn flat_set(change: impl FnOnce(&mut Set)) -> Result<VcpuState, Refusal> {
    let mut registers = Set {
        cr0: 1,
        cs: segment(0xc09b),
        ss: segment(0xc093),
        ..Set::default()
    };
    change(&mut registers);
    state(VcpuStart::Registers(Box::new(registers)))
}

fn segment(attributes: u32) -> Option<Segment> {
    Some(Segment {
        selector: 8,
        attributes,
        limit: u32::MAX,
        base: 0,
    })
}

/// What an IGVM file gives for a guest that starts in 64-bit mode.
fn long_registers() -> Set {
    Set {
        rip: 0x20_0000,
        rflags: 2,
        cs: segment(0xa09b),
        ds: segment(0xc093),
        ss: segment(0xc093),
        cr0: 0x8000_0031,
        cr3: PML4,
        cr4: 0x20,
        efer: 0x500,
        ..Set::default()
    }
}

#[track_caller]
fn refused(result: Result<VcpuState, Refusal>, field: &str, value: u64) {
    let refusal = result.unwrap_err();
    assert_eq!(refusal.reason, Reason::InvalidVcpuState, "{refusal:?}");
    assert_eq!(refusal.field, field, "{}", refusal.message);
    let start = format!("vCPU 1: {field} is {value:#x}: ");
    assert!(refusal.message.starts_with(&start), "{}", refusal.message);
}

#[track_caller]
fn passes(result: Result<VcpuState, Refusal>, what: &str) {
    if let Err(refusal) = result {
        panic!("{what}: {}", refusal.message);
    }
}

#[test]
fn a_state_is_one_of_four() {
    assert_eq!(state(VcpuStart::Reset(true)), Ok(VcpuState::Reset));
    let none = protocol::Vcpu::default();
    let rules = Rules {
        cpu: CpuModel::generous(),
        memory: &memory(),
    };
    let refusal = VcpuState::new(&none, &rules).unwrap_err();
    assert_eq!(refusal.reason, Reason::MalformedRequest);
    assert_eq!(VcpuState::Reset.registers(), None);
}

#[test]
fn real_mode_has_16_bit_numbers() {
    let real = |cs, ip, sp| {
        state(VcpuStart::RealMode(Real {
            cs,
            ip,
            sp,
            general: Some(General {
                rax: u64::MAX,
                ..General::default()
            }),
        }))
    };
    let registers = real(0x1234, 0xffff, 0x10).unwrap().registers().unwrap();
    assert_eq!(
        (registers.cs.selector, registers.cs.base),
        (0x1234, 0x12340)
    );
    let general = registers.general;
    assert_eq!(
        (general.rip, general.rsp, general.rax),
        (0xffff, 0x10, u64::MAX)
    );
    assert_eq!(general.rflags, 2);
    assert_eq!(registers.ds.base, 0);
    refused(real(0x10000, 0, 0), "real_mode.cs", 0x10000);
    refused(real(0, 0x10000, 0), "real_mode.ip", 0x10000);
    refused(real(0, 0, 0x10000), "real_mode.sp", 0x10000);
}

#[test]
fn long_mode_needs_canonical_addresses_and_page_tables_in_memory() {
    let long = |rip, rsp, cr3| {
        state(VcpuStart::LongMode(Long {
            rip,
            rsp,
            cr3,
            general: None,
        }))
    };
    let registers = long(0x20_0000, 0, PML4).unwrap().registers().unwrap();
    assert_eq!((registers.efer, registers.cr3), (0xd00, PML4));
    passes(
        long(0xffff_8000_0000_0000, 0x7fff_ffff_ffff, PML4),
        "as it is",
    );
    refused(long(1 << 47, 0, PML4), "long_mode.rip", 1 << 47);
    refused(
        long(0, 0xffff_7fff_ffff_ffff, PML4),
        "long_mode.rsp",
        0xffff_7fff_ffff_ffff,
    );
    refused(long(0, 0, PML4 + 0x800), "long_mode.cr3", PML4 + 0x800);
    refused(long(0, 0, 0x30_0000), "long_mode.cr3", 0x30_0000);
    refused(long(0, 0, 0x1f_f000), "long_mode.cr3", 0x1f_f000);
    refused(long(0, 0, 1 << 52), "long_mode.cr3", 1 << 52);
    refused(long(0, 0, 0), "long_mode.cr3", 0);
}

#[test]
fn long_mode_passes_the_rules_of_a_register_set() {
    let long = Long {
        rip: 0x20_0000,
        rsp: 0,
        cr3: PML4,
        general: None,
    };
    let registers = state(VcpuStart::LongMode(long))
        .unwrap()
        .registers()
        .unwrap();
    let rules = Rules {
        cpu: CpuModel::generous(),
        memory: &memory(),
    };
    let checked = stagepages_digest::vcpu::checked(registers.clone(), &rules);
    assert_eq!(checked, Ok(registers));
}

#[test]
fn a_processor_without_nx_has_no_long_mode_state() {
    let cpu = CpuModel {
        efer_bits: 0x501,
        ..CpuModel::generous()
    };
    let long = Long {
        cr3: PML4,
        ..Long::default()
    };
    refused(state_on(cpu, VcpuStart::LongMode(long)), "long_mode", 0x800);
}

#[test]
fn a_register_set_is_kept_and_the_rest_is_as_reset() {
    let VcpuState::Registers(registers) = set(|_| ()).unwrap() else {
        panic!("another state");
    };
    assert_eq!((registers.cr3, registers.cs.attributes), (PML4, 0xa09b));
    assert_eq!(
        (registers.tr.attributes, registers.ldtr.attributes),
        (0x8b, 0x82)
    );
    assert_eq!(
        (registers.gdtr.limit, registers.pat),
        (0xffff, 0x0007_0406_0007_0406)
    );
    let VcpuState::Registers(reset) = real_set(|_| ()).unwrap() else {
        panic!("another state");
    };
    assert_eq!((reset.cs.base, reset.cs.selector), (0xffff_0000, 0xf000));
    assert_eq!(
        (reset.general.rflags, reset.cr0),
        (2, 0x10),
        "bit 1, and ET"
    );
}
