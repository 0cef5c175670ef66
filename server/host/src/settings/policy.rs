//! The guest policy of SNP, bit by bit (AMD 56860, section 4.3).
//!
//! **Invariant:** a name never stands without its number.

/// Bit 17.
pub(super) const MUST_BE_ONE: u64 = 1 << 17;
/// SMT allowed: what every kernel takes.
pub(crate) const DEFAULT: u64 = 1 << 16 | MUST_BE_ONE;
/// Versions of the firmware's ABI, which are no flags: firmware compares them.
const VERSIONS: u64 = 0xffff;

/// The flags that have a choice.
const NAMES: [(u32, &str); 9] = [
    (16, "SMT"),
    (18, "MIGRATE_MA"),
    (19, "DEBUG"),
    (20, "SINGLE_SOCKET"),
    (21, "CXL_ALLOW"),
    (22, "MEM_AES_256_XTS"),
    (23, "RAPL_DIS"),
    (24, "CIPHERTEXT_HIDING_DRAM"),
    (25, "PAGE_SWAP_DISABLE"),
];

/// The flags of `policy`.
pub(super) fn flags(policy: u64) -> u64 {
    policy & !VERSIONS
}

/// `0x900000 (SINGLE_SOCKET, RAPL_DIS)`; the number alone where no bit has a name.
pub(crate) fn in_words(bits: u64) -> String {
    let named = NAMES.iter().filter(|(bit, _)| bits & 1 << bit != 0);
    let names: Vec<_> = named.map(|(_, name)| *name).collect();
    if names.is_empty() {
        format!("{bits:#x}")
    } else {
        format!("{bits:#x} ({})", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_has_its_name_beside_the_number() {
        assert_eq!(
            in_words(0x3ff_0137),
            "0x3ff0137 (SMT, MIGRATE_MA, DEBUG, SINGLE_SOCKET, CXL_ALLOW, MEM_AES_256_XTS, RAPL_DIS, CIPHERTEXT_HIDING_DRAM, PAGE_SWAP_DISABLE)"
        );
        for (bits, words) in [
            (DEFAULT, "0x30000 (SMT)"),
            (0x90_0000, "0x900000 (SINGLE_SOCKET, RAPL_DIS)"),
            (1 << 40, "0x10000000000"),
            (MUST_BE_ONE | 0x137, "0x20137"),
        ] {
            assert_eq!(in_words(bits), words);
        }
    }

    #[test]
    fn versions_are_no_flags() {
        assert_eq!(flags(0x3_0137), 0x3_0000);
    }
}
