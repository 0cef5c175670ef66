//! Addresses.

use super::*;

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
