//! A CPUID page that firmware takes: {count u32@0, reserved to @16, entries of 48 bytes} (kernel.md, section 2.5).
//!
//! **Invariant:** firmware has nothing to correct in it, unless a script says so.
use bytes::Bytes;

/// Leaves of it, beside 0xd.
pub(crate) const LEAVES: [u32; 10] = [0, 1, 2, 4, 5, 6, 7, 9, 0x8000_0000, 0x8000_0008];
/// What EBX of those leaves is not.
pub(crate) const OTHER: u32 = 0x1234_5678;

/// The page.
pub(crate) fn page() -> Bytes {
    let xsave = [0xd, 0, 1, 0, 0, 0, 7, 0x240, 0x340, 0];
    let plain = LEAVES.map(|leaf| [leaf, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
    let entries: Vec<_> = plain.into_iter().chain([xsave]).collect();
    let mut page = Vec::with_capacity(4096);
    page.extend((entries.len() as u64).to_le_bytes());
    page.extend(0_u64.to_le_bytes());
    for entry in entries {
        page.extend(entry.iter().flat_map(|word: &u32| word.to_le_bytes()));
        page.extend(0_u64.to_le_bytes());
    }
    page.resize(4096, 0);
    page.into()
}
