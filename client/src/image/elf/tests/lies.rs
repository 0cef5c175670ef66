//! Executables that lie, and what is said of them.

use proptest::prelude::*;

use super::*;

/// A change to a good file, and what is said of it.
type Spoilt = (fn(&mut Vec<u8>), &'static [&'static str]);

#[test]
fn lies_are_named_with_their_offsets() {
    let cases: [Spoilt; 17] = [
        (|f| f[4] = 3, &["ELF header at offset 0x4", "x86"]),
        (|f| f[5] = 2, &["at offset 0x5", "big-endian"]),
        (|f| f[18] = 183, &["at offset 0x12", "machine 0xb7"]),
        (|f| f[4] = 1, &["at offset 0x12", "32 bits"]),
        (|f| f[16] = 1, &["at offset 0x10", "type 0x1", "link it"]),
        (|f| f[24] = 0, &["at offset 0x18", "entry point"]),
        (|f| f[56] = 0, &["nothing is loaded"]),
        (|f| f[54] = 55, &["ELF program headers at offset 0x40"]),
        (
            |f| f[56] = 255,
            &["ELF program headers at offset 0x40", "whole"],
        ),
        (
            |f| f[39] = 0x80,
            &["ELF program headers at offset 0x8000000000000040"],
        ),
        (|f| f[64] = 3, &["at offset 0x40", "interpreter"]),
        (|f| f[64 + 14] = 1, &["at offset 0x40", "0x100000000"]),
        (
            |f| f[64 + 39] = 0xff,
            &[
                "at offset 0x40",
                "0xff00000000000004 bytes",
                "and the file has",
            ],
        ),
        (
            |f| f[64 + 40] = 3,
            &["at offset 0x40", "only 0x3 in memory"],
        ),
        (
            |f| f[64 + 31] = 1,
            &["at offset 0x40", "physical address 0x100000000100040"],
        ),
        (
            |f| f[120 + 44] = 1,
            &["at offset 0x78", "zeros", "not staged"],
        ),
        (
            |f| f[120 + 26] = 0x10,
            &["at offset 0x40", "inside segment 1"],
        ),
    ];
    for (spoil, says) in cases {
        let mut file = small();
        spoil(&mut file);
        let error = refused(file);
        assert!(
            says.iter().all(|it| error.contains(it)),
            "{says:?}: {error}"
        );
    }
}
#[test]
fn bytes_that_are_loaded_twice_are_refused() {
    let mut file = elf64(
        0x10_0000,
        &[(0, 0x10_0000, b"a", 1), (0, 0x20_0000, b"b", 1)],
    );
    file.resize(0x1000, 0);
    for at in [64, 120] {
        put(&mut file, at + 8, &0_u64.to_le_bytes());
        put(&mut file, at + 32, &[0, 0x0f, 0, 0, 0, 0, 0, 0, 0, 0x0f]);
    }
    let error = refused(file);
    assert!(
        error.contains("at offset 0x78") && error.contains("0x1e00 bytes together"),
        "{error}"
    );
}
#[test]
fn segments_without_number_and_without_neighbours_are_refused() {
    let loads: Vec<Load> = (1..100).map(|at| (0, at << 24, &b"x"[..], 1)).collect();
    let error = refused(elf64(1 << 24, &loads));
    assert!(
        error.contains("100 places") && error.contains("guest's memory"),
        "{error}"
    );
    let mut file = elf64(0x10_0000, &[(0, 0x10_0000, b"x", 1)]);
    let header = file[64..120].to_vec();
    let end = file.len();
    (0..257).for_each(|_| file.extend_from_slice(&header));
    put(&mut file, 32, &(end as u64).to_le_bytes());
    put(&mut file, 56, &257_u16.to_le_bytes());
    let error = refused(file);
    assert!(error.contains("more than 0x100 segments"), "{error}");
}
#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    let file = small();
    for end in 0..file.len() {
        let error = refused(file[..end].to_vec());
        assert!(error.contains("ELF "), "{end:#x}: {error}");
    }
}
proptest! {
    #[test]
    fn whatever_is_flipped_a_plan_is_sound(
        flips in prop::collection::vec((0..180_usize, any::<u8>()), 1..6),
        wide in any::<bool>(),
    ) {
        let mut file = if wide { small() } else { elf32(0x10_0000, 0x10_0000, b"code") };
        for (at, value) in flips {
            if let Some(byte) = file.get_mut(at) {
                *byte = value;
            }
        }
        let length = file.len() as u64;
        if let Ok(plan) = planned(file, &Options::default()) {
            testing::assert_sound(&plan);
            prop_assert!(testing::held(&plan) <= length + 600 * PAGE_BYTES);
        }
    }
}
