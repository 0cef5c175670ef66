//! Every rule: what is let through, what is refused, and by what name.

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
    control::check(&registers, &rules.cpu).unwrap();
    segments::check(&registers).unwrap();
    addresses::check(&registers, &rules).unwrap();
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

#[test]
fn numbers_of_16_bits_are_not_cut() {
    let wide = |selector, attributes| {
        Some(Segment {
            selector,
            attributes,
            ..Segment::default()
        })
    };
    refused(
        set(|r| r.fs = wide(0x10000, 0)),
        "registers.fs.selector",
        0x10000,
    );
    refused(
        set(|r| r.gs = wide(0, 0x1_0093)),
        "registers.gs.attributes",
        0x1_0093,
    );
    let table = Some(protocol::Table {
        base: 0,
        limit: 0x10000,
    });
    refused(set(|r| r.gdtr = table), "registers.gdtr.limit", 0x10000);
    refused(set(|r| r.idtr = table), "registers.idtr.limit", 0x10000);
}

#[test]
fn cr0_has_no_reserved_bits_and_no_contradictions() {
    refused(set(|r| r.cr0 |= 1 << 6), "registers.cr0", 0x8000_0071);
    refused(set(|r| r.cr0 |= 1 << 32), "registers.cr0", 0x1_8000_0031);
    refused(set(|r| r.cr0 &= !1), "registers.cr0", 0x8000_0030);
    refused(set(|r| r.cr0 |= 1 << 29), "registers.cr0", 0xa000_0031);
    passes(set(|r| r.cr0 |= 0x6000_0000), "as it is");
}

#[test]
fn cr4_has_what_the_processor_has() {
    refused(set(|r| r.cr4 |= 1 << 12), "registers.cr4", 0x1020);
    refused(set(|r| r.cr4 |= 1 << 40), "registers.cr4", 1 << 40 | 0x20);
    refused(set(|r| r.cr4 = 0), "registers.cr4", 0);
    refused(real_set(|r| r.cr4 = 1 << 17), "registers.cr4", 1 << 17);
    passes(set(|r| r.cr4 |= 1 << 17), "as it is");
    refused(set(|r| r.cr4 |= 1 << 23), "registers.cr4", 1 << 23 | 0x20);
    let with_wp = |r: &mut Set| {
        r.cr4 |= 1 << 23;
        r.cr0 |= 1 << 16;
    };
    passes(set(with_wp), "as it is");
}

#[test]
fn efer_says_that_64_bit_mode_is_there_only_if_it_is() {
    refused(set(|r| r.efer |= 2), "registers.efer", 0x502);
    refused(real_set(|r| r.efer = 0x400), "registers.efer", 0x400);
    refused(real_set(|r| r.efer = 0x500), "registers.efer", 0x500);
    for given in [0x100, 0x500] {
        let registers = set(|r| r.efer = given).unwrap().registers().unwrap();
        assert_eq!(registers.efer, 0x500, "it follows from LME and PG");
    }
    passes(real_set(|r| r.efer = 0x100), "wanted, and not yet there");
}

#[test]
fn flags_are_those_that_exist() {
    for bit in [3, 5, 15, 22, 63] {
        let flags = 1 << bit | 2;
        refused(set(|r| r.rflags = flags), "registers.rflags", flags);
    }
    passes(set(|r| r.rflags = 0x3d_7fd5), "all but VM");
    refused(set(|r| r.rflags = 0x20002), "registers.rflags", 0x20002);
    refused(
        real_set(|r| r.rflags = 0x20000),
        "registers.rflags",
        0x20002,
    );
}

#[test]
fn virtual_8086_mode_has_segments_of_its_own() {
    let virtual_8086 = |selector: u32| {
        Some(Segment {
            selector,
            attributes: 0xf3,
            limit: 0xffff,
            base: u64::from(selector) << 4,
        })
    };
    let registers = Set {
        rflags: 0x20000,
        cr0: 1,
        cs: virtual_8086(1),
        ds: virtual_8086(2),
        es: virtual_8086(3),
        fs: virtual_8086(4),
        gs: virtual_8086(5),
        ss: virtual_8086(6),
        ..Set::default()
    };
    let state_of = |change: fn(&mut Segment)| {
        let mut registers = registers.clone();
        change(registers.es.as_mut().unwrap());
        state(VcpuStart::Registers(Box::new(registers)))
    };
    passes(state_of(|_| ()), "as it is");
    refused(
        state_of(|es| es.attributes = 0x93),
        "registers.es.attributes",
        0x93,
    );
    refused(
        state_of(|es| es.limit = 0xfffe),
        "registers.es.limit",
        0xfffe,
    );
    refused(state_of(|es| es.base = 0), "registers.es.base", 0);
}

#[test]
fn memory_types_are_checked_byte_by_byte() {
    for byte in 0..=u8::MAX {
        let pat = 0x0606_0606_0606_0006 | u64::from(byte) << 8;
        let result = set(|r| r.pat = Some(pat));
        if [0, 1, 4, 5, 6, 7].contains(&byte) {
            passes(result, "a memory type");
        } else {
            refused(result, "registers.pat", pat);
        }
    }
}

#[test]
fn addresses_are_canonical_where_they_are_linear_and_short_where_they_are_not() {
    const BAD: u64 = 1 << 47;
    refused(set(|r| r.rip = BAD), "registers.rip", BAD);
    refused(set(|r| r.rsp = BAD), "registers.rsp", BAD);
    refused(flat_set(|r| r.rip = 1 << 32), "registers.rip", 1 << 32);
    refused(flat_set(|r| r.rsp = 1 << 32), "registers.rsp", 1 << 32);
    let at = |base, attributes| {
        Some(Segment {
            selector: 0,
            attributes,
            limit: 0xffff,
            base,
        })
    };
    refused(set(|r| r.fs = at(BAD, 0x93)), "registers.fs.base", BAD);
    refused(set(|r| r.gs = at(BAD, 0)), "registers.gs.base", BAD);
    refused(set(|r| r.tr = at(BAD, 0x8b)), "registers.tr.base", BAD);
    refused(set(|r| r.ldtr = at(BAD, 0x82)), "registers.ldtr.base", BAD);
    refused(
        set(|r| r.ds = at(1 << 32, 0x93)),
        "registers.ds.base",
        1 << 32,
    );
    refused(
        set(|r| r.es = at(1 << 32, 0x93)),
        "registers.es.base",
        1 << 32,
    );
    refused(
        set(|r| r.ss = at(1 << 32, 0x93)),
        "registers.ss.base",
        1 << 32,
    );
    refused(
        set(|r| r.cs = at(1 << 32, 0x209b)),
        "registers.cs.base",
        1 << 32,
    );
    let table = Some(protocol::Table {
        base: BAD,
        limit: 0,
    });
    refused(set(|r| r.gdtr = table), "registers.gdtr.base", BAD);
    refused(set(|r| r.idtr = table), "registers.idtr.base", BAD);
    passes(set(|r| r.fs = at(0xffff_8880_0000_0000, 0x93)), "as it is");
}

#[test]
fn five_level_paging_makes_more_addresses_canonical() {
    let cpu = CpuModel {
        linear_address_bits: 57,
        cr4_bits: 0x1fff,
        ..CpuModel::generous()
    };
    let at = |rip, cr4| {
        let registers = Set {
            rip,
            cr4,
            ..long_registers()
        };
        state_on(cpu, VcpuStart::Registers(Box::new(registers)))
    };
    passes(at(1 << 47, 0x1020), "as it is");
    refused(at(1 << 56, 0x1020), "registers.rip", 1 << 56);
    refused(at(1 << 47, 0x20), "registers.rip", 1 << 47);
}

#[test]
fn page_tables_are_where_their_mode_can_reach_them() {
    let at = |cr3| set(move |r| r.cr3 = cr3);
    passes(at(PML4 | 0x18), "caching bits");
    for cr3 in [PML4 | 1, 0x40_0000, 1 << 52, 1 << 63 | PML4] {
        refused(at(cr3), "registers.cr3", cr3);
    }
    let with_process = set(|r| {
        r.cr3 = PML4 | 0xabc;
        r.cr4 |= 1 << 17;
    });
    passes(with_process, "as it is");
    let paged = |cr3, cr4| {
        flat_set(move |r| {
            r.cr0 |= 1 << 31;
            r.cr3 = cr3;
            r.cr4 = cr4;
        })
    };
    passes(paged(PML4 | 0x18, 0), "as it is");
    refused(paged(PML4 | 0x20, 0), "registers.cr3", PML4 | 0x20);
    passes(paged(PML4 | 0x20, 0x20), "a table of 32 bytes");
    refused(paged(1 << 32, 0), "registers.cr3", 1 << 32);
    passes(real_set(|r| r.cr3 = 0x1234_5678), "nobody looks");
    refused(real_set(|r| r.cr3 = 1 << 52), "registers.cr3", 1 << 52);
}

#[test]
fn code_is_code_and_of_one_width() {
    let cs = |attributes| set(move |r| r.cs = segment(attributes));
    refused(cs(0xe09b), "registers.cs.attributes", 0xe09b);
    refused(cs(0xa01b), "registers.cs.attributes", 0xa01b);
    refused(cs(0xa08b), "registers.cs.attributes", 0xa08b);
    refused(cs(0xa093), "registers.cs.attributes", 0xa093);
    refused(cs(0xab9b), "registers.cs.attributes", 0xab9b);
    refused(cs(0xa0fb), "registers.cs.attributes", 0xa0fb);
    passes(cs(0xc09b), "compatibility mode");
    passes(cs(0xa09f), "conforming");
    refused(
        flat_set(|r| r.cs = segment(0xa09b)),
        "registers.cs.attributes",
        0xa09b,
    );
    let small = |attributes| {
        Some(Segment {
            attributes,
            limit: 0xffff,
            ..Segment::default()
        })
    };
    passes(real_set(|r| r.cs = small(0x93)), "real mode runs from data");
    refused(
        flat_set(|r| r.cs = small(0x93)),
        "registers.cs.attributes",
        0x93,
    );
    refused(
        real_set(|r| r.cs = small(0x91)),
        "registers.cs.attributes",
        0x91,
    );
}

#[test]
fn privilege_levels_of_code_and_stack_agree() {
    let both = |cs, ss| {
        flat_set(move |r| {
            r.cs = segment(cs);
            r.ss = segment(ss);
        })
    };
    passes(both(0xc0fb, 0xc0f3), "ring 3");
    refused(both(0xc0fb, 0xc093), "registers.cs.attributes", 0xc0fb);
    refused(both(0xc09b, 0xc0f3), "registers.cs.attributes", 0xc09b);
    passes(both(0xc09f, 0xc0f3), "conforming code of ring 0");
    refused(both(0xc0ff, 0xc093), "registers.cs.attributes", 0xc0ff);
    refused(both(0xc0fb, 0), "registers.cs.attributes", 0xc0fb);
    let real = real_set(|r| {
        let level = |attributes| {
            Some(Segment {
                attributes,
                limit: 0xffff,
                ..Segment::default()
            })
        };
        r.cs = level(0xfb);
        r.ss = level(0xf3);
    });
    refused(real, "registers.ss.attributes", 0xf3);
}

#[test]
fn stacks_and_data_can_be_used_as_such_or_not_at_all() {
    let ss = |attributes| set(move |r| r.ss = segment(attributes));
    passes(ss(0), "unusable");
    passes(ss(0xc097), "expands down");
    refused(ss(0xc09b), "registers.ss.attributes", 0xc09b);
    refused(ss(0xc091), "registers.ss.attributes", 0xc091);
    refused(ss(0xc083), "registers.ss.attributes", 0xc083);
    let ds = |attributes| set(move |r| r.ds = segment(attributes));
    passes(ds(0xc09b), "code that can be read");
    passes(ds(0xc091), "data that cannot be written");
    passes(ds(0), "unusable");
    refused(ds(0xc099), "registers.ds.attributes", 0xc099);
    refused(ds(0xc083), "registers.ds.attributes", 0xc083);
}

#[test]
fn limits_and_granularity_agree() {
    let es = |attributes, limit| {
        set(move |r| {
            r.es = Some(Segment {
                attributes,
                limit,
                ..Segment::default()
            });
        })
    };
    passes(es(0x93, 0xf_ffff), "as it is");
    passes(es(0x8093, 0xfff), "as it is");
    refused(es(0x93, 0x10_0000), "registers.es.limit", 0x10_0000);
    refused(es(0x8093, 0x10_0000), "registers.es.limit", 0x10_0000);
    passes(es(0x8000, 1), "unusable");
}

#[test]
fn a_processor_has_a_task_and_may_have_a_local_table() {
    let small = |selector, attributes| {
        Some(Segment {
            selector,
            attributes,
            limit: 0x67,
            base: 0,
        })
    };
    let tr = |selector, attributes| set(move |r| r.tr = small(selector, attributes));
    passes(tr(0x28, 0x8b), "as it is");
    refused(tr(0x28, 0x89), "registers.tr.attributes", 0x89);
    refused(tr(0x28, 0x83), "registers.tr.attributes", 0x83);
    passes(flat_set(|r| r.tr = small(0x28, 0x83)), "16 bits");
    refused(tr(0, 0), "registers.tr.attributes", 0);
    refused(tr(0, 0x9b), "registers.tr.attributes", 0x9b);
    refused(tr(0x2c, 0x8b), "registers.tr.selector", 0x2c);
    let ldtr = |selector, attributes| set(move |r| r.ldtr = small(selector, attributes));
    passes(ldtr(0x30, 0x82), "as it is");
    passes(ldtr(4, 0), "unusable");
    refused(ldtr(0x30, 0x83), "registers.ldtr.attributes", 0x83);
    refused(ldtr(0x34, 0x82), "registers.ldtr.selector", 0x34);
}
