//! A CPUID page: the table that firmware checks before a guest may trust it, and how two of them differ.
//!
//! ```text
//!  0x000 count u32 · reserved u32 · reserved u64
//!  0x010 up to 64 entries of 48 bytes: eax_in ecx_in xcr0_in xss_in eax ebx ecx edx reserved
//! ```
//!
//! (AMD 56860, "CPUID Page"; `struct snp_cpuid_table`, arch/x86/include/asm/sev.h, Linux 6.11.)
//!
//! **Invariant:** pure; a page is only read. What an entry holds is the processor's own answer to CPUID, and nothing secret.

use std::fmt;

/// Bytes before the first entry.
const HEADER: usize = 16;
/// Bytes of one entry.
const ENTRY: usize = 48;
/// Entries that a page has room for.
const MOST: usize = 64;
/// What firmware wants in EBX of leaf 0xd, subleaves 0 and 1: the size of the area that XCR0 = 1 needs (kernel.md, section 2.5).
const XSAVE_BYTES: u32 = 0x240;

/// One answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuidPageEntry {
    /// The leaf.
    pub eax_in: u32,
    /// The subleaf.
    pub ecx_in: u32,
    /// XCR0 that the answer depends on.
    pub xcr0_in: u64,
    /// XSS that the answer depends on.
    pub xss_in: u64,
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ECX.
    pub ecx: u32,
    /// EDX.
    pub edx: u32,
    /// Zero, for firmware.
    pub reserved: u64,
}

/// An entry that two pages have otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuidDifference {
    /// Which, from 0.
    pub entry: usize,
    /// In the first page.
    pub submitted: CpuidPageEntry,
    /// In the second.
    pub wanted: CpuidPageEntry,
}

/// The entries that differ among those that either page counts, in their order.
#[must_use]
pub fn differences(submitted: &[u8], wanted: &[u8]) -> Vec<CpuidDifference> {
    (0..count(submitted).max(count(wanted)))
        .filter_map(|entry| {
            let at = |page| read(page, entry).unwrap_or_default();
            let (submitted, wanted) = (at(submitted), at(wanted));
            (submitted != wanted).then_some(CpuidDifference {
                entry,
                submitted,
                wanted,
            })
        })
        .collect()
}

/// Whether the headers differ: in how many entries they count, or in what is reserved.
#[must_use]
pub fn headers_differ(submitted: &[u8], wanted: &[u8]) -> bool {
    submitted.get(..HEADER) != wanted.get(..HEADER)
}

/// The page as a plain firmware would have it: for the simulator.
pub(crate) fn corrected(page: &[u8]) -> Vec<u8> {
    let mut page = page.to_vec();
    if let Some(reserved) = page.get_mut(4..HEADER) {
        reserved.fill(0);
    }
    for entry in 0..count(&page) {
        let Some(known) = read(&page, entry) else {
            break;
        };
        let Some(bytes) = page.get_mut(HEADER + entry * ENTRY..HEADER + (entry + 1) * ENTRY) else {
            break;
        };
        if let Some(reserved) = bytes.get_mut(40..) {
            reserved.fill(0);
        }
        if known.eax_in == 0xd
            && known.ecx_in <= 1
            && let Some(ebx) = bytes.get_mut(28..32)
        {
            ebx.copy_from_slice(&XSAVE_BYTES.to_le_bytes());
        }
    }
    page
}

/// How many entries a page says that it has, as far as it has room for them.
fn count(page: &[u8]) -> usize {
    let said = page
        .first_chunk()
        .map_or(0, |count| u32::from_le_bytes(*count));
    usize::try_from(said).unwrap_or(MOST).min(MOST)
}

fn read(page: &[u8], entry: usize) -> Option<CpuidPageEntry> {
    let bytes = page.get(HEADER + entry * ENTRY..)?;
    let narrow = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let wide = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    Some(CpuidPageEntry {
        eax_in: narrow(0)?,
        ecx_in: narrow(4)?,
        xcr0_in: wide(8)?,
        xss_in: wide(16)?,
        eax: narrow(24)?,
        ebx: narrow(28)?,
        ecx: narrow(32)?,
        edx: narrow(36)?,
        reserved: wide(40)?,
    })
}

impl fmt::Display for CpuidDifference {
    /// `entry 3, leaf 0xd.0x1: ebx 0x988, firmware would have 0x240`, then `;` and the next register that differs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            entry,
            submitted,
            wanted,
        } = self;
        write!(
            f,
            "entry {entry}, leaf {:#x}.{:#x}:",
            submitted.eax_in, submitted.ecx_in
        )?;
        let fields = |of: &CpuidPageEntry| {
            [
                ("leaf", of.eax_in.into()),
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
        let pairs = fields(submitted).into_iter().zip(fields(wanted));
        let differing = pairs.filter(|((_, had), (_, wants))| had != wants);
        for (nth, ((name, had), (_, wants))) in differing.enumerate() {
            let separator = if nth == 0 { "" } else { ";" };
            write!(
                f,
                "{separator} {name} {had:#x}, firmware would have {wants:#x}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(entries: &[(u32, u32, u32)]) -> Vec<u8> {
        let mut page = vec![0; 4096];
        page[..4].copy_from_slice(&u32::try_from(entries.len()).unwrap().to_le_bytes());
        for (nth, (leaf, subleaf, ebx)) in entries.iter().enumerate() {
            let at = HEADER + nth * ENTRY;
            page[at..at + 4].copy_from_slice(&leaf.to_le_bytes());
            page[at + 4..at + 8].copy_from_slice(&subleaf.to_le_bytes());
            page[at + 28..at + 32].copy_from_slice(&ebx.to_le_bytes());
        }
        page
    }

    #[test]
    fn only_entries_that_differ_are_told_and_only_their_registers() {
        let submitted = page(&[(0, 0, 7), (0xd, 0, 0x988), (0xd, 1, 0x240), (0xd, 2, 5)]);
        let wanted = corrected(&submitted);
        let found = differences(&submitted, &wanted);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].to_string(),
            "entry 1, leaf 0xd.0x0: ebx 0x988, firmware would have 0x240"
        );
        assert_eq!(differences(&wanted, &wanted), []);
        assert_eq!(corrected(&wanted), wanted);
    }

    #[test]
    fn a_page_that_lies_about_its_count_is_read_no_further_than_it_goes() {
        let mut page = vec![0xff; 4096];
        page[HEADER] = 1;
        assert_eq!(differences(&page, &[0; 4096]).len(), MOST);
        assert_eq!(differences(&[], &[1, 0, 0, 0]).len(), 0);
        assert_eq!(corrected(&[]), Vec::<u8>::new());
    }

    #[test]
    fn a_header_is_told_from_what_is_behind_it() {
        let submitted = page(&[(1, 0, 0)]);
        for (at, differ) in [(0, true), (4, true), (15, true), (16, false), (4095, false)] {
            let mut wanted = submitted.clone();
            wanted[at] ^= 0x80;
            assert_eq!(headers_differ(&submitted, &wanted), differ, "{at}");
        }
        assert!(!headers_differ(&submitted, &submitted));
    }

    #[test]
    fn reserved_fields_count_too() {
        let submitted = page(&[(1, 0, 0)]);
        let mut wanted = submitted.clone();
        wanted[HEADER + 40] = 1;
        assert_eq!(
            differences(&wanted, &submitted)[0].to_string(),
            "entry 0, leaf 0x1.0x0: reserved 0x1, firmware would have 0x0"
        );
    }
}
