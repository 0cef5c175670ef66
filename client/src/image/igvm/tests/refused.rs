//! Files that lie: each is refused with the structure, the offset, what is wrong and the way out.

use igvm::IgvmDirectiveHeader as Directive;

use super::made::{
    SNP, TDX, area, bytes, file, insert, page, parameter, plan, save_area, snp_context,
};
use crate::image::{ImageError, Options};

/// Where the first header is.
const FIRST: usize = 0x20;

/// The variable headers begin at 0x20: platform (24 bytes), policy (24), then these.
fn made() -> Vec<u8> {
    let directives = vec![
        page(SNP, 0x1000, &[1; 4096]),
        area(3, 0x1000, &[2; 4096]),
        Directive::VpCount(parameter(3, 0)),
        insert(SNP, 3, 0x8000),
        snp_context(0, save_area(0)),
        Directive::RequiredMemory {
            gpa: 0x10_0000,
            compatibility_mask: SNP,
            number_of_bytes: 0x1000,
            vtl2_protectable: false,
        },
        Directive::ErrorRange {
            gpa: 0x20_0000,
            compatibility_mask: SNP,
            size_bytes: 0x1000,
        },
    ];
    bytes(&file(SNP, directives))
}

const PLATFORM: usize = FIRST;
const POLICY: usize = PLATFORM + 24;
const PAGE: usize = POLICY + 24;
const AREA: usize = PAGE + 32;
const COUNT: usize = AREA + 24;
const INSERT: usize = COUNT + 16;
const CONTEXT: usize = INSERT + 24;
const REQUIRED: usize = CONTEXT + 32;
const ERRORS: usize = REQUIRED + 32;
const END: usize = ERRORS + 24;

/// The file with the checksum that its headers have, so that what is behind it is reached.
pub(super) fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
    let word = |at: usize| {
        bytes
            .get(at..at + 4)
            .map(|it| u32::from_le_bytes(it.try_into().unwrap()))
    };
    let (start, size) = (
        word(8).unwrap_or(0) as usize,
        word(12).unwrap_or(0) as usize,
    );
    let fixed = if word(4) == Some(2) { 32 } else { 24 };
    if bytes.len() < fixed {
        return bytes;
    }
    bytes[20..24].fill(0);
    let mut sum = crc32fast::Hasher::new();
    sum.update(&bytes[..fixed]);
    sum.update(bytes.get(start..start.saturating_add(size)).unwrap_or(&[]));
    bytes[20..24].copy_from_slice(&sum.finalize().to_le_bytes());
    bytes
}

fn with(at: usize, patch: &[u8]) -> Vec<u8> {
    let mut bytes = made();
    bytes[at..at + patch.len()].copy_from_slice(patch);
    summed(bytes)
}

pub(super) fn refused(bytes: Vec<u8>) -> ImageError {
    let error = plan(bytes, &Options::default()).unwrap_err();
    assert!(error.problem.contains([';', ':']), "no way out: {error}");
    error
}

#[test]
fn the_offsets_of_these_cases_are_those_of_the_file() {
    let bytes = made();
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let kinds = [
        PLATFORM, POLICY, PAGE, AREA, COUNT, INSERT, CONTEXT, REQUIRED, ERRORS,
    ]
    .map(word);
    assert_eq!(
        kinds,
        [1, 0x101, 0x302, 0x301, 0x307, 0x303, 0x304, 0x305, 0x30d]
    );
    assert_eq!(
        (word(8), word(12)),
        (0x20, u32::try_from(END - FIRST).unwrap())
    );
    plan(bytes, &Options::default()).unwrap();
}

#[test]
fn the_fixed_header_is_checked() {
    let cases: [(Vec<u8>, u64, &str); 12] = [
        (vec![], 0, "ends after 0x0"),
        (b"IGVM".to_vec(), 0, "ends after 0x4"),
        (made()[..24].to_vec(), 0, "ends after 0x18"),
        (with(0, b"ELF!"), 0, "magic"),
        (with(4, &[3]), 4, "version 0x3"),
        (with(24, &[1]), 24, "architecture 0x1"),
        (with(28, &[0, 0, 1, 0]), 28, "pages of 0x10000"),
        (with(16, &[0]), 16, "it says that the file has"),
        ([made(), vec![0]].concat(), 16, "it says that the file has"),
        (with(8, &[0x18]), 8, "variable headers are"),
        (with(8, &[0x24]), 8, "variable headers are"),
        (with(12, &[0xff; 4]), 8, "variable headers are"),
    ];
    for (bytes, offset, words) in cases {
        let error = refused(bytes);
        assert_eq!(
            (error.structure.as_str(), error.offset),
            ("IGVM fixed header", Some(offset)),
            "{error}"
        );
        assert!(error.problem.contains(words), "{error}");
    }
    let mut changed = made();
    changed[PAGE + 8] ^= 0x10;
    let error = refused(changed);
    assert!(
        error.problem.contains("checksum") && error.offset == Some(20),
        "{error}"
    );
}

#[test]
fn every_header_is_checked() {
    let huge = 0xffff_ffff_ffff_f000_u64.to_le_bytes();
    let cases: [(usize, &[u8], usize, &str); 32] = [
        (PLATFORM, &[0], PLATFORM, "type 0x0 is not known"),
        (PLATFORM + 3, &[0x80], PLATFORM, ""),
        (PLATFORM + 4, &[8], PLATFORM, "it has 0x8 bytes"),
        (
            PLATFORM + 4,
            &[0xff; 4],
            PLATFORM,
            "are left of the headers",
        ),
        (PLATFORM + 8, &[3], PLATFORM, "exactly one bit"),
        (PLATFORM + 8, &[0], PLATFORM, "exactly one bit"),
        (PLATFORM + 14, &[2], PLATFORM, "version 0x2"),
        (POLICY, &[0x99, 1], POLICY, "type 0x199 is not known"),
        (POLICY, &[2, 3], PAGE, ""),
        (PAGE, &[0x50, 3], PAGE, "type 0x350 is not known"),
        (PAGE, &[0x01, 1], PAGE, ""),
        (PAGE + 8, &[1], PAGE, "no whole pages"),
        (PAGE + 8, &huge, PAGE, "reach past"),
        (
            PAGE + 20,
            &[1, 0, 0, 0],
            PAGE,
            "its data is 0x1000 bytes at offset 0x1",
        ),
        (PAGE + 20, &[0xff; 4], PAGE, "its data is"),
        (PAGE + 24, &[1], PAGE, "a page of 2 MiB"),
        (PAGE + 24, &[8], PAGE, "stand for nothing"),
        (PAGE + 28, &[4], PAGE, "data type 0x4"),
        (PAGE + 30, &[1], PAGE, "stand for nothing"),
        (AREA + 8, &[1], AREA, "no whole pages"),
        (AREA + 8, &[0; 8], AREA, "no whole pages"),
        (AREA + 8, &huge, AREA, "its data is"),
        (AREA + 16, &[4], COUNT, "was not declared"),
        (COUNT + 12, &[0, 0x10], COUNT, "which has 0x1000 bytes"),
        (INSERT + 8, &[1], INSERT, "no whole pages"),
        (INSERT + 8, &[0, 0x10], INSERT, "loads GPA 0x1000"),
        (INSERT + 20, &[5], INSERT, "was not declared"),
        (CONTEXT + 20, &[0xff; 4], CONTEXT, "its data is"),
        (CONTEXT + 20, &[0; 4], CONTEXT, "its data is"),
        (CONTEXT + 24, &[64], CONTEXT, "at most 64"),
        (CONTEXT + 28, &[1], CONTEXT, "padding"),
        (REQUIRED + 8, &huge, REQUIRED, ""),
    ];
    for (at, patch, offset, words) in cases {
        // Alignment changes with the address alone, so the untouched bytes of a field stay.
        let result = plan(with(at, patch), &Options::default());
        let Err(error) = result else {
            panic!("taken: {at:#x} {patch:x?}");
        };
        assert!(error.problem.contains(words), "{at:#x}: {error}");
        if !words.is_empty() {
            assert_eq!(error.offset, Some(offset as u64), "{at:#x}: {error}");
        }
        assert!(error.problem.contains([';', ':']), "no way out: {error}");
    }
}

#[test]
fn an_optional_header_that_is_not_known_is_left_out_and_told() {
    for kind in [0x8000_0350_u32, 0x8000_0999] {
        let plan = plan(with(ERRORS, &kind.to_le_bytes()), &Options::default()).unwrap();
        let told = { plan.findings.iter() }
            .find(|it| it.code == "IGVM_OPTIONAL_HEADER")
            .unwrap();
        assert_eq!(told.offset, Some(ERRORS as u64));
        assert!(told.message.contains(&format!("{kind:#x}")), "{told}");
    }
}

/// Gigabytes that a small file claims.
#[test]
fn claims_do_not_become_memory() {
    let claims = bytes(&file(TDX, vec![area(1, 1 << 40, &[]), insert(TDX, 1, 0)]));
    let error = refused(claims);
    assert!(error.problem.contains("more than 16M"), "{error}");
    let many = (0..5000).flat_map(|index| {
        [
            area(index, 0x1000, &[]),
            insert(TDX, index, u64::from(index) << 12),
        ]
    });
    assert!(
        refused(bytes(&file(TDX, many.collect())))
            .problem
            .contains("more than 16M")
    );
    let required = Directive::RequiredMemory {
        gpa: 0,
        compatibility_mask: TDX,
        number_of_bytes: 0xffff_f000,
        vtl2_protectable: false,
    };
    let plan = plan(
        bytes(&file(TDX, vec![required, page(TDX, 0, &[1])])),
        &Options::default(),
    )
    .unwrap();
    assert_eq!((plan.memory.len(), plan.pages()), (1, 1));
}

#[test]
fn pages_are_loaded_once_and_inside_the_memory_that_is_given() {
    let twice = bytes(&file(
        TDX,
        vec![
            page(TDX, 0x2000, &[1]),
            page(TDX, 0x1000, &[2]),
            page(TDX, 0x2000, &[1]),
        ],
    ));
    let error = refused(twice);
    assert!(
        error
            .problem
            .contains("loads GPA 0x2000, which the header at offset 0x38"),
        "{error}"
    );
    assert_eq!(error.offset, Some(0x38 + 64));
    for (memory, ok) in [("0x0+2M", false), ("0x0+3M", true), ("0x2000+3M", false)] {
        let options = Options {
            memory: vec![memory.parse().unwrap()],
            ..Options::default()
        };
        let result = plan(made(), &options);
        assert_eq!(result.is_ok(), ok, "{memory}: {result:?}");
    }
    assert!(
        refused(bytes(&file(TDX, vec![])))
            .problem
            .contains("loads no page")
    );
}

#[test]
fn a_parameter_is_written_once_and_before_its_area_is_inserted() {
    let count = || Directive::VpCount(parameter(1, 0));
    let twice = bytes(&file(
        TDX,
        vec![area(1, 0x1000, &[]), count(), count(), insert(TDX, 1, 0)],
    ));
    assert!(
        refused(twice)
            .problem
            .contains("has a parameter of type 0x307 already")
    );
    // Made by patching: the crate refuses to write such files.
    let mut late = made();
    let (one, rest) = late[COUNT..CONTEXT].split_at(16);
    let swapped = [rest, one].concat();
    late[COUNT..CONTEXT].copy_from_slice(&swapped);
    assert!(refused(summed(late)).problem.contains("is closed"));
}
