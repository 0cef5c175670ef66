//! The guest policy of SEV-SNP, in the forms in which people type it.
//!
//! ```text
//! 0x30000                   the number of the firmware's ABI, whole
//! smt,debug,abi=1.55        by names; what is not named is not set, and bit 17, which must be one, sets itself
//! ```
//!
//! The names are the fields of `SevSnpPolicy` in the API, with `-` for `_`; `abi` is `abi_major` and `abi_minor`, in decimal.
//!
//! **Invariant:** never judges a policy: what this machine takes, the daemon says.

use std::{fmt, str::FromStr};

use stagepages_proto::v1::{SevSnpPolicy, sev_snp_settings::GuestPolicy};

use crate::addr::{ParseError, number};

/// Bit 17, which must be one and so says nothing.
const MUST_BE_ONE: u32 = 17;

const FORM: &str = "a number (0x30000), or names with commas between, each once: smt, migrate-ma, debug, single-socket, \
                    cxl-allow, mem-aes-256-xts, rapl-dis, ciphertext-hiding-dram, page-swap-disable, abi=MAJOR.MINOR";

/// A flag's name, its bit, its field.
type Flag = (&'static str, u32, fn(&mut SevSnpPolicy) -> &mut bool);

/// AMD 56860, section 4.3.
const FLAGS: [Flag; 9] = [
    ("smt", 16, |it| &mut it.smt),
    ("migrate-ma", 18, |it| &mut it.migrate_ma),
    ("debug", 19, |it| &mut it.debug),
    ("single-socket", 20, |it| &mut it.single_socket),
    ("cxl-allow", 21, |it| &mut it.cxl_allow),
    ("mem-aes-256-xts", 22, |it| &mut it.mem_aes_256_xts),
    ("rapl-dis", 23, |it| &mut it.rapl_dis),
    ("ciphertext-hiding-dram", 24, |it| {
        &mut it.ciphertext_hiding_dram
    }),
    ("page-swap-disable", 25, |it| &mut it.page_swap_disable),
];

/// A guest policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy(GuestPolicy);

impl Policy {
    /// The number of the policy of a launch that names none: SMT allowed, nothing else.
    pub const DEFAULT: u64 = 0x3_0000;

    /// Its number in the firmware's ABI.
    #[must_use]
    pub fn number(&self) -> u64 {
        match self.0 {
            GuestPolicy::PolicyNumber(number) => number,
            GuestPolicy::Policy(mut policy) => {
                let versions = u64::from(policy.abi_major) << 8 | u64::from(policy.abi_minor);
                let set = FLAGS.iter().filter(|(.., field)| *field(&mut policy));
                set.fold(versions | 1 << MUST_BE_ONE, |number, (_, bit, _)| {
                    number | 1 << bit
                })
            }
        }
    }
}

/// The flags among `bits` by name, and `bit 26` for one without, lowest first. Bit 17 is not told, nor are the 16 bits of the versions.
#[must_use]
pub fn flag_names(bits: u64) -> Vec<String> {
    let name = |bit: u32| match FLAGS.iter().find(|(_, known, _)| *known == bit) {
        Some((name, ..)) => (*name).to_owned(),
        None => format!("bit {bit}"),
    };
    (16..u64::BITS)
        .filter(|bit| *bit != MUST_BE_ONE && bits >> bit & 1 == 1)
        .map(name)
        .collect()
}

impl From<Policy> for GuestPolicy {
    fn from(policy: Policy) -> Self {
        policy.0
    }
}

impl From<GuestPolicy> for Policy {
    fn from(policy: GuestPolicy) -> Self {
        Self(policy)
    }
}

impl FromStr for Policy {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let policy = match text.starts_with(|first: char| first.is_ascii_digit()) {
            true => number(text).map(GuestPolicy::PolicyNumber),
            false => named(text).map(GuestPolicy::Policy),
        };
        policy
            .map(Self)
            .ok_or_else(|| ParseError::new(text, "a guest policy", FORM))
    }
}

/// A name that comes twice is a mistake.
fn named(text: &str) -> Option<SevSnpPolicy> {
    let mut policy = SevSnpPolicy::default();
    let mut has_version = false;
    for word in text.split(',') {
        if let Some(version) = word.strip_prefix("abi=") {
            if has_version {
                return None;
            }
            has_version = true;
            let (major, minor) = version.split_once('.')?;
            (policy.abi_major, policy.abi_minor) = (byte(major)?, byte(minor)?);
            continue;
        }
        let (.., field) = FLAGS.iter().find(|(name, ..)| *name == word)?;
        let flag = field(&mut policy);
        if *flag {
            return None;
        }
        *flag = true;
    }
    Some(policy)
}

/// Digits only: Rust's own parser would take a sign.
fn byte(text: &str) -> Option<u32> {
    let digits = text.chars().all(|digit| digit.is_ascii_digit());
    text.parse::<u8>().ok().filter(|_| digits).map(u32::from)
}

impl fmt::Display for Policy {
    /// The number, and what it stands for: `0xb0137 (smt, debug, abi 1.55)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number();
        write!(f, "{number:#x}")?;
        let mut words = flag_names(number);
        let (major, minor) = (number >> 8 & 0xff, number & 0xff);
        if (major, minor) != (0, 0) {
            words.push(format!("abi {major}.{minor}"));
        }
        match words.is_empty() {
            true => Ok(()),
            false => write!(f, " ({})", words.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Policy {
        text.parse().unwrap()
    }

    #[test]
    fn names_and_the_number_say_the_same() {
        assert_eq!(policy("smt").number(), 0x3_0000);
        assert_eq!(policy("smt,debug,abi=1.55").number(), 0xb_0137);
        assert_eq!(policy("single-socket").number(), 0x12_0000);
        let all = "smt,migrate-ma,debug,single-socket,cxl-allow,mem-aes-256-xts,rapl-dis,ciphertext-hiding-dram,page-swap-disable";
        assert_eq!(policy(all).number(), 0x3ff_0000);
        assert_eq!(policy("0x30000").number(), policy("196608").number());
    }

    #[test]
    fn a_number_goes_as_a_number_and_names_as_names() {
        assert_eq!(
            GuestPolicy::from(policy("0x10000")),
            GuestPolicy::PolicyNumber(0x1_0000)
        );
        let named = SevSnpPolicy {
            abi_major: 1,
            abi_minor: 55,
            debug: true,
            ..SevSnpPolicy::default()
        };
        assert_eq!(
            GuestPolicy::from(policy("abi=1.55,debug")),
            GuestPolicy::Policy(named)
        );
    }

    #[test]
    fn every_bit_is_shown_by_name_or_by_number() {
        assert_eq!(
            policy("smt,debug,abi=1.55").to_string(),
            "0xb0137 (smt, debug, abi 1.55)"
        );
        assert_eq!(policy("0x20000").to_string(), "0x20000");
        assert_eq!(policy("0x4030000").to_string(), "0x4030000 (smt, bit 26)");
        assert_eq!(flag_names(0xffff), Vec::<String>::new());
        assert_eq!(flag_names(1 << 63), ["bit 63"]);
    }

    #[test]
    fn anything_else_is_refused_with_the_form() {
        for text in [
            "",
            "SMT",
            "smt,",
            "smt smt",
            "smt,smt",
            "smt,abi=1",
            "abi=1.256",
            "abi=+1.2",
            "abi=1.2,abi=1.2",
            "0x",
            "0x10000000000000000",
            "3smt",
            "-1",
        ] {
            let error = text.parse::<Policy>().unwrap_err().to_string();
            assert!(
                error.contains(&format!("`{text}`")) && error.contains("single-socket"),
                "{error}"
            );
        }
    }
}
