//! The CPUID leaves of a TDX launch, in the form in which people type them.
//!
//! ```text
//! FUNCTION[.INDEX]:EAX:EBX:ECX:EDX        0x7.0:0x0:0x9c07ab:0x4:0x0
//! ```
//!
//! Numbers are hex with `0x`, or decimal.
//!
//! **Invariant:** never judges a leaf: which are the launch's to configure, the daemon says.

use std::{fmt, str::FromStr};

use stagepages_proto::v1::TdxCpuidEntry;

use crate::addr::{ParseError, number};

/// One leaf and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuidLeaf(TdxCpuidEntry);

impl From<CpuidLeaf> for TdxCpuidEntry {
    fn from(leaf: CpuidLeaf) -> Self {
        leaf.0
    }
}

impl From<&TdxCpuidEntry> for CpuidLeaf {
    fn from(entry: &TdxCpuidEntry) -> Self {
        Self(*entry)
    }
}

impl FromStr for CpuidLeaf {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text).map(Self).ok_or_else(|| {
            ParseError::new(
                text,
                "a CPUID leaf",
                "FUNCTION[.INDEX]:EAX:EBX:ECX:EDX, for example 0x7.0:0x0:0x9c07ab:0x4:0x0; each below 2^32, in hex (0x7) or decimal",
            )
        })
    }
}

fn parse(text: &str) -> Option<TdxCpuidEntry> {
    let narrow = |text: &str| number(text).and_then(|number| u32::try_from(number).ok());
    let mut parts = text.split(':');
    let leaf = parts.next()?;
    let (function, index) = leaf.split_once('.').unwrap_or((leaf, "0"));
    let mut register = || parts.next().and_then(narrow);
    let (eax, ebx, ecx, edx) = (register()?, register()?, register()?, register()?);
    let entry = TdxCpuidEntry {
        function: narrow(function)?,
        index: narrow(index)?,
        eax,
        ebx,
        ecx,
        edx,
    };
    parts.next().is_none().then_some(entry)
}

impl fmt::Display for CpuidLeaf {
    /// The form that is typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TdxCpuidEntry {
            function,
            index,
            eax,
            ebx,
            ecx,
            edx,
        } = self.0;
        write!(
            f,
            "{function:#x}.{index:#x}:{eax:#x}:{ebx:#x}:{ecx:#x}:{edx:#x}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_shown_again() {
        for (typed, shown) in [
            ("0x7.0:0x0:0x9c07ab:0x4:0x0", "0x7.0x0:0x0:0x9c07ab:0x4:0x0"),
            ("1:1:2:3:4", "0x1.0x0:0x1:0x2:0x3:0x4"),
            ("0xd.1:0xffffffff:0:0:0", "0xd.0x1:0xffffffff:0x0:0x0:0x0"),
        ] {
            let leaf: CpuidLeaf = typed.parse().unwrap();
            assert_eq!(leaf.to_string(), shown);
            assert_eq!(shown.parse(), Ok(leaf));
        }
    }

    #[test]
    fn registers_go_where_their_places_say() {
        let leaf: CpuidLeaf = "1.2:3:4:5:6".parse().unwrap();
        let entry = TdxCpuidEntry {
            function: 1,
            index: 2,
            eax: 3,
            ebx: 4,
            ecx: 5,
            edx: 6,
        };
        assert_eq!(TdxCpuidEntry::from(leaf), entry);
    }

    #[test]
    fn anything_else_is_refused_with_the_form() {
        for text in [
            "",
            "1",
            "1:2:3:4",
            "1:2:3:4:5:6",
            "1.:2:3:4:5",
            ".1:2:3:4:5",
            "1.1.1:2:3:4:5",
            "0x100000000:0:0:0:0",
            "1:0:0:0:-1",
            "1:0:0:0:eax",
        ] {
            let error = text.parse::<CpuidLeaf>().unwrap_err().to_string();
            assert!(
                error.contains(&format!("`{text}`")) && error.contains("FUNCTION[.INDEX]"),
                "{error}"
            );
        }
    }
}
