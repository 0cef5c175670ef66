//! Firmware's look at a CPUID page (kernel.md section 2.5).
//!
//! The page: count u32@0, reserved to @16, then entries of 48 bytes {eax_in u32, ecx_in u32, xcr0_in u64, xss_in u64, eax, ebx, ecx, edx u32,
//! reserved u64}.
//!
//! **Invariant:** what firmware does not want to know stays as it was submitted.

use crate::CpuidWant;

const MAX_ENTRIES: usize = 64;
const FIRST: usize = 16;
const ENTRY: usize = 48;
const XSAVE: u32 = 0xd;
const XSAVE_AREA: u32 = 0x240;

/// Looks at every entry, corrects those that are not as firmware wants them, and answers whether all were. More than 64 entries are
/// refused uncorrected.
pub fn check(page: &mut [u8; 4096], wants: &[CpuidWant]) -> bool {
    let count = usize::try_from(word(page, 0)).unwrap_or(usize::MAX);
    if count > MAX_ENTRIES {
        return false;
    }
    let before = *page;
    for entry in page[FIRST..].chunks_exact_mut(ENTRY).take(count) {
        let (eax_in, ecx_in) = (word(entry, 0), word(entry, 4));
        if eax_in == XSAVE && ecx_in < 2 {
            put(entry, 8, 1);
            put(entry, 12, 0);
            put(entry, 28, XSAVE_AREA);
        }
        for want in wants
            .iter()
            .filter(|want| (want.eax_in, want.ecx_in) == (eax_in, ecx_in))
        {
            let registers = [want.eax, want.ebx, want.ecx, want.edx];
            for (at, value) in [24, 28, 32, 36].into_iter().zip(registers) {
                if let Some(value) = value {
                    put(entry, at, value);
                }
            }
        }
    }
    *page == before
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.iter().skip(at).take(4).rev();
    word.fold(0, |word, byte| word << 8 | u32::from(*byte))
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    for (to, from) in bytes.iter_mut().skip(at).zip(value.to_le_bytes()) {
        *to = from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(entries: &[[u32; 6]]) -> [u8; 4096] {
        let mut page = [0; 4096];
        put(&mut page, 0, u32::try_from(entries.len()).unwrap());
        for (entry, [eax_in, ecx_in, xcr0_in, eax, ebx, ecx]) in
            page[FIRST..].chunks_exact_mut(ENTRY).zip(entries)
        {
            for (at, value) in [
                (0, eax_in),
                (4, ecx_in),
                (8, xcr0_in),
                (24, eax),
                (28, ebx),
                (32, ecx),
            ] {
                put(entry, at, *value);
            }
        }
        page
    }

    #[test]
    fn a_table_as_firmware_wants_it_is_left_alone() {
        let mut given = page(&[[0, 0, 0, 0x1f, 1, 2], [0xd, 0, 1, 7, 0x240, 0x340]]);
        let before = given;
        assert!(check(&mut given, &[]));
        assert_eq!(given, before);
    }

    #[test]
    fn the_xsave_area_is_corrected() {
        let mut given = page(&[[0xd, 1, 7, 0xf, 0x988, 0]]);
        assert!(!check(&mut given, &[]));
        assert_eq!(given, page(&[[0xd, 1, 1, 0xf, 0x240, 0]]));
    }

    #[test]
    fn a_wanted_register_is_corrected_and_the_others_are_not() {
        let want = CpuidWant {
            eax_in: 7,
            ecx_in: 0,
            eax: None,
            ebx: Some(5),
            ecx: None,
            edx: None,
        };
        let mut given = page(&[[7, 0, 0, 1, 2, 3], [7, 1, 0, 1, 2, 3]]);
        assert!(!check(&mut given, &[want]));
        assert_eq!(given, page(&[[7, 0, 0, 1, 5, 3], [7, 1, 0, 1, 2, 3]]));
        assert!(check(&mut given, &[want]));
    }

    #[test]
    fn more_entries_than_there_can_be_are_refused() {
        let mut given = [0; 4096];
        put(&mut given, 0, 65);
        assert!(!check(&mut given, &[]));
    }
}
