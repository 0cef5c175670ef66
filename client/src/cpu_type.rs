//! The vCPU type of an SEV-SNP guest: its processor signature, which QEMU leaves in RDX of every vCPU and so is in the launch digest.
//!
//! ```text
//! EPYC-Milan            a type of QEMU's, in any case
//! 25:1:1                family, model and stepping
//! 0xa00f11              the signature itself (CPUID leaf 1, EAX)
//! ```
//!
//! Numbers are hex with `0x`, or decimal.
//!
//! **Invariant:** versions of a type differ in features and never in the signature, so a digest does not tell them apart.

use std::{fmt, str::FromStr};

use crate::addr::{ParseError, number};

/// QEMU's types (`builtin_x86_defs`, target/i386/cpu.c), with family, model and stepping.
const TYPES: [(&str, [u32; 3]); 18] = [
    ("EPYC", NAPLES),
    ("EPYC-v1", NAPLES),
    ("EPYC-v2", NAPLES),
    ("EPYC-IBPB", NAPLES),
    ("EPYC-v3", NAPLES),
    ("EPYC-v4", NAPLES),
    ("EPYC-Rome", ROME),
    ("EPYC-Rome-v1", ROME),
    ("EPYC-Rome-v2", ROME),
    ("EPYC-Rome-v3", ROME),
    ("EPYC-Milan", MILAN),
    ("EPYC-Milan-v1", MILAN),
    ("EPYC-Milan-v2", MILAN),
    ("EPYC-Genoa", GENOA),
    ("EPYC-Genoa-v1", GENOA),
    ("EPYC-Turin", TURIN),
    ("EPYC-Turin-v1", TURIN),
    ("EPYC-Turin-v2", TURIN),
];
const NAPLES: [u32; 3] = [23, 1, 2];
const ROME: [u32; 3] = [23, 49, 0];
const MILAN: [u32; 3] = [25, 1, 1];
const GENOA: [u32; 3] = [25, 17, 0];
const TURIN: [u32; 3] = [26, 0, 0];

const FORM: &str = "EPYC, EPYC-Rome, EPYC-Milan, EPYC-Genoa or EPYC-Turin, with -v1 and so on as QEMU has them, \
                    FAMILY:MODEL:STEPPING (25:1:1), or the signature (0xa00f11)";

/// A vCPU type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuType {
    name: Option<&'static str>,
    signature: u32,
}

impl CpuType {
    /// CPUID leaf 1, EAX.
    #[must_use]
    pub fn signature(self) -> u32 {
        self.signature
    }

    /// The names that are known, for people to choose from.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TYPES.iter().map(|(name, _)| *name)
    }
}

impl FromStr for CpuType {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let named = TYPES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text));
        let parsed = match named {
            Some((name, numbers)) => signature(*numbers).map(|it| (Some(*name), it)),
            None => unnamed(text).map(|it| (None, it)),
        };
        parsed
            .map(|(name, signature)| Self { name, signature })
            .ok_or_else(|| ParseError::new(text, "a vCPU type", FORM))
    }
}

fn unnamed(text: &str) -> Option<u32> {
    let narrow = |text: &str| number(text).and_then(|it| u32::try_from(it).ok());
    let parts: Vec<&str> = text.split(':').collect();
    match parts[..] {
        [number] => narrow(number),
        [family, model, stepping] => {
            signature([narrow(family)?, narrow(model)?, narrow(stepping)?])
        }
        _ => None,
    }
}

/// As AMD's CPUID specification (25481) has them in leaf 1, EAX: a family above 15 goes on in its extension. `None` if a number is too large.
fn signature([family, model, stepping]: [u32; 3]) -> Option<u32> {
    let extended = family.saturating_sub(0xf);
    let fits = extended <= 0xff && model <= 0xff && stepping <= 0xf;
    fits.then_some(
        extended << 20
            | (model >> 4) << 16
            | (family - extended) << 8
            | (model & 0xf) << 4
            | stepping,
    )
}

impl fmt::Display for CpuType {
    /// The name as QEMU has it, or the signature.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#x}", self.signature),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_signatures_of_their_processors() {
        for (text, signature) in [
            ("EPYC", 0x80_0f12),
            ("EPYC-v4", 0x80_0f12),
            ("epyc-ibpb", 0x80_0f12),
            ("EPYC-Rome", 0x83_0f10),
            ("EPYC-MILAN-V2", 0xa0_0f11),
            ("EPYC-Genoa", 0xa1_0f10),
            ("EPYC-Turin-v2", 0xb0_0f00),
            ("25:1:1", 0xa0_0f11),
            ("0x19:0x11:0", 0xa1_0f10),
            ("6:0x8f:8", 0x8_06f8),
            ("15:0:0", 0xf00),
            ("270:255:15", 0xfff_0fff),
            ("0x600", 0x600),
            ("10489617", 0xa0_0f11),
        ] {
            let parsed: CpuType = text.parse().unwrap();
            assert_eq!(parsed.signature(), signature, "{text}");
        }
    }

    #[test]
    fn every_type_is_shown_in_a_form_that_is_read_back() {
        for name in CpuType::names().chain(["0xa00f11", "0x0"]) {
            let parsed: CpuType = name.to_lowercase().parse().unwrap();
            assert_eq!(parsed.to_string(), name);
            assert_eq!(name.parse(), Ok(parsed));
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_forms() {
        for text in [
            "",
            "EPYC-",
            "EPYC-v9",
            "Opteron",
            "25:1",
            "25:1:1:1",
            "271:0:0",
            "25:256:0",
            "25:0:16",
            ":1:1",
            "0x100000000",
            "-1",
        ] {
            let parsed = text.parse::<CpuType>();
            let error = parsed.unwrap_err().to_string();
            assert!(
                error.contains("EPYC-Milan") && error.contains(&format!("`{text}`")),
                "{error}"
            );
        }
    }
}
