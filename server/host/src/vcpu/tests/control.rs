//! Control registers, flags and memory types.

use super::*;

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
