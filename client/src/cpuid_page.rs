//! What firmware would have otherwise in a CPUID page, field by field.
//!
//! **Invariant:** tells only what differs; a page is never corrected here.

use stagepages_proto::v1::{CpuidDifference, CpuidPageEntry};

/// A field of an entry that firmware would have otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which: a register of the answer (`ebx`), or what the answer depends on (`leaf`, `subleaf`, `xcr0`, `xss`),
    /// or bytes for firmware (`reserved`).
    pub field: &'static str,
    /// As it was submitted.
    pub submitted: u64,
    /// As firmware would have it.
    pub wanted: u64,
}

/// What of an entry differs, in the entry's order.
#[must_use]
pub fn changes(difference: &CpuidDifference) -> Vec<Change> {
    let fields = |of: Option<CpuidPageEntry>| {
        let of = of.unwrap_or_default();
        [
            ("leaf", u64::from(of.eax_in)),
            ("subleaf", of.ecx_in.into()),
            ("xcr0", of.xcr0_in),
            ("xss", of.xss_in),
            ("eax", of.eax.into()),
            ("ebx", of.ebx.into()),
            ("ecx", of.ecx.into()),
            ("edx", of.edx.into()),
            ("reserved", of.reserved),
        ]
    };
    let pairs = fields(difference.submitted)
        .into_iter()
        .zip(fields(difference.wanted));
    pairs
        .filter(|((_, submitted), (_, wanted))| submitted != wanted)
        .map(|((field, submitted), (_, wanted))| Change {
            field,
            submitted,
            wanted,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told_in_the_entrys_order() {
        let submitted = CpuidPageEntry {
            eax_in: 0xd,
            ecx_in: 1,
            xcr0_in: 7,
            ebx: 0x988,
            edx: 4,
            reserved: 1,
            ..CpuidPageEntry::default()
        };
        let wanted = CpuidPageEntry {
            xcr0_in: 1,
            ebx: 0x240,
            reserved: 0,
            ..submitted
        };
        let difference = CpuidDifference {
            entry: 3,
            submitted: Some(submitted),
            wanted: Some(wanted),
        };
        let told: Vec<_> = changes(&difference)
            .into_iter()
            .map(|it| (it.field, it.submitted, it.wanted))
            .collect();
        assert_eq!(
            told,
            [("xcr0", 7, 1), ("ebx", 0x988, 0x240), ("reserved", 1, 0)]
        );
        let equal = CpuidDifference {
            wanted: Some(submitted),
            ..difference
        };
        assert_eq!(changes(&equal), []);
    }
}
