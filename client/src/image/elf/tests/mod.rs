use bytes::Bytes;

use super::*;
use crate::{
    addr::{PAGE_BYTES, Region},
    image::testing::{self, put},
    plan::Contents,
    v1::{PageType, Platform, VcpuRegisters, vcpu_state::State},
};

mod lies;
mod wishes;

/// Virtual address, physical address, bytes in the file, bytes in memory.
type Load = (u64, u64, &'static [u8], u64);

const ENTRY: u64 = 0x10_0040;

fn elf64(entry: u64, loads: &[Load]) -> Vec<u8> {
    let mut file = vec![0; 64 + 56 * loads.len()];
    put(&mut file, 0, b"\x7fELF\x02\x01\x01");
    put(&mut file, 16, &[2, 0, 62, 0, 1]);
    put(&mut file, 24, &entry.to_le_bytes());
    put(&mut file, 32, &[64]);
    put(
        &mut file,
        52,
        &[64, 0, 56, 0, u8::try_from(loads.len()).unwrap()],
    );
    for (at, (from, to, bytes, memory)) in (64..).step_by(56).zip(loads) {
        let offset = file.len() as u64;
        let numbers = [offset, *from, *to, bytes.len() as u64, *memory, 0x1000];
        put(&mut file, at, &[1]);
        put(&mut file, at + 8, &numbers.map(u64::to_le_bytes).concat());
        file.extend_from_slice(bytes);
    }
    file
}
fn elf32(entry: u32, gpa: u32, bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 52 + 32];
    put(&mut file, 0, b"\x7fELF\x01\x01\x01");
    put(&mut file, 16, &[2, 0, 3, 0, 1]);
    put(&mut file, 24, &entry.to_le_bytes());
    put(&mut file, 28, &[52]);
    put(&mut file, 40, &[52, 0, 32, 0, 1]);
    let length = u32::try_from(bytes.len()).unwrap();
    let numbers = [1, 84, gpa, gpa, length, length];
    put(&mut file, 52, &numbers.map(u32::to_le_bytes).concat());
    file.extend_from_slice(bytes);
    file
}
/// Code in the middle of a page, and zeros elsewhere.
fn small() -> Vec<u8> {
    elf64(
        ENTRY,
        &[
            (ENTRY, ENTRY, b"code", 4),
            (0x20_0000, 0x20_0000, b"", 0x1800),
        ],
    )
}
fn planned(file: Vec<u8>, options: &Options) -> Result<Plan, ImageError> {
    load(&testing::input(file), options)
}
fn refused(file: Vec<u8>) -> String {
    planned(file, &Options::default()).unwrap_err().to_string()
}
fn registers(plan: &Plan) -> VcpuRegisters {
    let Some(State::Registers(registers)) = plan.vcpus[0].state else {
        panic!("{:?}", plan.vcpus);
    };
    registers
}
/// Name, address, pages and type of each extent.
fn shown(plan: &Plan) -> Vec<(&str, u64, u64, PageType)> {
    let extents = plan.extents.iter();
    extents
        .map(|it| (it.name(), it.gpa().bytes(), it.pages(), it.page_type()))
        .collect()
}
fn page_at(plan: &Plan, gpa: u64) -> Vec<u8> {
    let mut found = Vec::new();
    for extent in &plan.extents {
        extent
            .each_page(|at, bytes| {
                if at.bytes() == gpa {
                    found = bytes.map_or(vec![0; 4096], |bytes| bytes.to_vec());
                }
            })
            .unwrap();
    }
    found
}
#[test]
fn segments_become_pages_and_the_boot_protocols_structures_lie_below() {
    let plan = planned(small(), &Options::default()).unwrap();
    assert_eq!(plan.platform, Platform::Kvm);
    assert_eq!(
        shown(&plan),
        [
            ("boot_params", 0x1000, 1, PageType::Normal),
            ("GDT", 0x2000, 1, PageType::Normal),
            ("page tables", 0x3000, 3, PageType::Normal),
            ("segment 0", 0x10_0000, 1, PageType::Normal),
            ("bss", 0x20_0000, 2, PageType::Zero),
        ]
    );
    let region = Region {
        gpa: Gpa::new(0),
        size: 4 << 20,
    };
    assert_eq!(plan.memory, [region]);
    let page = page_at(&plan, 0x10_0000);
    assert_eq!(
        (&page[..0x40], &page[0x40..0x44]),
        (&[0; 0x40][..], &b"code"[..])
    );
    let registers = registers(&plan);
    assert_eq!((registers.rip, registers.cr3), (ENTRY, 0x3000));
    assert_eq!(registers.general.unwrap().rsi, 0x1000);
    // One region of memory, usable.
    let params = page_at(&plan, 0x1000);
    assert_eq!((params[0x1e8], &params[0x202..0x206]), (1, &b"HdrS"[..]));
    assert_eq!(
        params[0x2d0 + 8..0x2d0 + 20],
        [0, 0, 0x40, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    );
}
#[test]
fn a_segment_that_begins_a_page_is_not_copied() {
    let file = Bytes::from(elf64(0x10_0000, &[(0, 0x10_0000, b"code", 4)]));
    let input = testing::input(file.clone());
    let plan = load(&input, &Options::default()).unwrap();
    let Contents::Bytes(bytes) = plan.extents[3].contents() else {
        panic!("{:?}", plan.extents);
    };
    assert_eq!(bytes.as_ptr(), file[64 + 56..].as_ptr());
}
#[test]
fn segments_that_share_a_page_are_one_extent() {
    let file = elf64(
        0x10_0000,
        &[
            (0, 0x10_0000, b"first", 0x10),
            (0, 0x10_0010, b"second", 0x1ff0),
            (0, 0x10_2008, b"third", 5),
        ],
    );
    let plan = planned(file, &Options::default()).unwrap();
    assert_eq!(
        shown(&plan)[3..],
        [
            ("segments 0, 1", 0x10_0000, 1, PageType::Normal),
            ("bss", 0x10_1000, 1, PageType::Zero),
            ("segment 2", 0x10_2000, 1, PageType::Normal),
        ]
    );
    let page = page_at(&plan, 0x10_0000);
    assert_eq!(
        (&page[..5], &page[0x10..0x16]),
        (&b"first"[..], &b"second"[..])
    );
    assert_eq!(page_at(&plan, 0x10_2000)[8..13], *b"third");
}
#[test]
fn a_kernel_that_lies_low_is_gone_around() {
    let bytes: &[u8] = &[7; 0x9_e000];
    let file = elf64(0x1000, &[(0, 0x1000, bytes.to_vec().leak(), 0x9_e000)]);
    let plan = planned(file, &Options::default()).unwrap();
    let registers = registers(&plan);
    assert_eq!(
        registers.general.unwrap().rsi,
        0x10_0000,
        "not between 640 KiB and 1 MiB"
    );
}
#[test]
fn the_entry_is_physical_or_translated() {
    let high = 0xffff_ffff_8000_0000;
    for (entry, rip) in [(0x10_0001, 0x10_0001), (high + 2, 0x10_0002)] {
        let plan = planned(
            elf64(entry, &[(high, 0x10_0000, b"code", 4)]),
            &Options::default(),
        );
        assert_eq!(registers(&plan.unwrap()).rip, rip);
    }
    let error = refused(elf64(0x10_0004, &[(high, 0x10_0000, b"code", 0x1000)]));
    assert!(
        error.contains("ELF header at offset 0x18") && error.contains("0x100004"),
        "{error}"
    );
}
#[test]
fn thirty_two_bits_begin_in_flat_protected_mode() {
    let plan = planned(elf32(0x10_0000, 0x10_0000, b"code"), &Options::default()).unwrap();
    assert_eq!(
        shown(&plan),
        [
            ("boot_params", 0x1000, 1, PageType::Normal),
            ("GDT", 0x2000, 1, PageType::Normal),
            ("segment 0", 0x10_0000, 1, PageType::Normal),
        ]
    );
    let registers = registers(&plan);
    assert_eq!(
        (registers.rip, registers.cr0, registers.cr3),
        (0x10_0000, 0x11, 0)
    );
    assert_eq!(registers.cs.unwrap().attributes, 0xc09b);
    // The table says what the registers have: code at 0x10, data at 0x18.
    let gdt = page_at(&plan, 0x2000);
    assert_eq!(gdt[0x10..0x18], 0x00cf_9b00_0000_ffff_u64.to_le_bytes());
    assert_eq!(gdt[0x18..0x20], 0x00cf_9300_0000_ffff_u64.to_le_bytes());
}
#[test]
fn memory_far_up_is_mapped_and_memory_of_nobody_is_not() {
    let at = 0x41_0000_0000;
    let plan = planned(elf64(at, &[(0, at, b"code", 4)]), &Options::default()).unwrap();
    let table = |page: u64, entry: usize| {
        let bytes = page_at(&plan, page);
        u64::from_le_bytes(bytes[entry * 8..entry * 8 + 8].try_into().unwrap())
    };
    assert_eq!((table(0x3000, 0), table(0x3000, 1)), (0x4003, 0));
    let second: Vec<_> = (0..512).filter(|at| table(0x4000, *at) != 0).collect();
    assert_eq!(second, [0, 260]);
    assert_eq!((table(0x4000, 0), table(0x4000, 260)), (0x5003, 0x6003));
    assert_eq!(
        (table(0x5000, 1), table(0x6000, 511)),
        (0x20_0083, at + 0x3fe0_0083)
    );
}
#[test]
fn command_line_and_initrd_are_where_boot_params_say() {
    let options = Options {
        append: Some("console=ttyS0".to_owned()),
        initrd: Some(testing::input(vec![9; 0x1001])),
        memory: vec![
            "0x0+16M".parse().unwrap(),
            "0x100000000+16M".parse().unwrap(),
        ],
        vcpus: Some(2),
        ..Options::default()
    };
    let plan = planned(small(), &options).unwrap();
    let params = page_at(&plan, 0x1000);
    let number = |at: usize| u32::from_le_bytes(params[at..at + 4].try_into().unwrap());
    assert_eq!(
        (params[0x1e8], number(0x218), number(0x21c)),
        (2, 0xff_e000, 0x1001)
    );
    assert!(page_at(&plan, number(0x228).into()).starts_with(b"console=ttyS0\0"));
    assert_eq!(page_at(&plan, 0xff_f000)[..2], [9, 0]);
    assert_eq!(plan.vcpus[1].index, 1);
    assert_eq!(plan.findings[0].code, "VCPUS_NOT_STARTED");
    // Without a word about memory there is room for it too.
    let without = Options {
        memory: Vec::new(),
        ..options
    };
    assert_eq!(planned(small(), &without).unwrap().memory[0].size, 6 << 20);
}
#[test]
fn what_was_planned_can_be_measured_on_sim() {
    let options = Options {
        platform: Some(Platform::Sim),
        ..Options::default()
    };
    let plan = planned(small(), &options).unwrap();
    assert!(plan.digest().unwrap().is_some());
}
#[test]
fn wishes_that_cannot_be_met_are_refused() {
    let good = Options::default;
    for (options, says) in [
        (
            Options {
                platform: Some(Platform::SevSnp),
                ..good()
            },
            "OVMF",
        ),
        (
            Options {
                platform: Some(Platform::Tdx),
                ..good()
            },
            "TDVF",
        ),
        (
            Options {
                kernel: Some(testing::input(b"x".to_vec())),
                ..good()
            },
            "a kernel itself",
        ),
        (
            Options {
                cpuid_page: Some(Bytes::new()),
                ..good()
            },
            "CPUID",
        ),
        (
            Options {
                vcpus: Some(0),
                ..good()
            },
            "1 to 64",
        ),
        (
            Options {
                vcpus: Some(65),
                ..good()
            },
            "1 to 64",
        ),
        (
            Options {
                append: Some("a\0b".into()),
                ..good()
            },
            "zero byte",
        ),
        (
            Options {
                append: Some("a".repeat(2048)),
                ..good()
            },
            "at most 0x7ff",
        ),
        (
            Options {
                memory: vec!["0x0+1M".parse().unwrap()],
                ..good()
            },
            "segment 0 needs GPA 0x100000",
        ),
        (
            Options {
                memory: vec!["0x0+0x4800".parse().unwrap()],
                ..good()
            },
            "whole pages",
        ),
        (
            Options {
                memory: vec!["0x0+4M".parse().unwrap(), "0x3ff000+4M".parse().unwrap()],
                ..good()
            },
            "overlaps",
        ),
        (
            Options {
                memory: vec![
                    "0x100000+1M".parse().unwrap(),
                    "0x200000+8K".parse().unwrap(),
                ],
                initrd: Some(testing::input(vec![1; 2 << 20])),
                ..good()
            },
            "initrd",
        ),
    ] {
        let error = planned(small(), &options).unwrap_err().to_string();
        assert!(
            error.starts_with("test.img: ") && error.contains(says),
            "{error}"
        );
    }
    let mut full = [0; 0x10_0000];
    full.fill(1);
    let file = elf64(0, &[(0, 0, full.to_vec().leak(), 0x10_0000)]);
    let options = Options {
        memory: vec!["0x0+1M".parse().unwrap()],
        ..good()
    };
    let error = planned(file, &options).unwrap_err().to_string();
    assert!(error.contains("boot_params"), "{error}");
}
