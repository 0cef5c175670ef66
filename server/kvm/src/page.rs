//! Pages: their size, their types, and a view of one that never prints its contents.
//!
//! **Invariant:** nothing here formats the bytes of a page.

use std::fmt;

/// The size of a page in bytes, for arithmetic on addresses.
pub const PAGE_SIZE: u64 = 4096;

/// The size of a page in bytes, for slices.
pub const PAGE_BYTES: usize = 4096;

/// How a page is installed and measured.
///
/// VMSA pages are missing on purpose: KVM makes them itself when the launch finishes and refuses them from user space
/// (`snp_launch_update()`, `arch/x86/kvm/svm/sev.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PageType {
    /// Contents from the caller, measured.
    Normal,
    /// Zeros, made by the platform.
    Zero,
    /// Contents from the caller; only the address is measured.
    Unmeasured,
    /// Written by firmware.
    Secrets,
    /// A CPUID table from the caller, checked by firmware.
    Cpuid,
}

impl PageType {
    /// Every page type, in the order of the API.
    pub const ALL: [Self; 5] = [
        Self::Normal,
        Self::Zero,
        Self::Unmeasured,
        Self::Secrets,
        Self::Cpuid,
    ];

    /// The number in PAGE_INFO and in `struct kvm_sev_snp_launch_update` (SEV-SNP firmware ABI, SNP_LAUNCH_UPDATE).
    pub const fn snp_abi(self) -> u8 {
        match self {
            Self::Normal => 1,
            Self::Zero => 3,
            Self::Unmeasured => 4,
            Self::Secrets => 5,
            Self::Cpuid => 6,
        }
    }
}

impl fmt::Display for PageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Normal => "NORMAL",
            Self::Zero => "ZERO",
            Self::Unmeasured => "UNMEASURED",
            Self::Secrets => "SECRETS",
            Self::Cpuid => "CPUID",
        })
    }
}

/// A borrowed page of 4096 bytes. Its `Debug` prints `Page(..)`, so that contents reach no log by accident.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Page<'a>(&'a [u8; PAGE_BYTES]);

impl<'a> Page<'a> {
    /// Views an array as a page.
    pub const fn new(bytes: &'a [u8; PAGE_BYTES]) -> Self {
        Self(bytes)
    }

    /// Views the whole pages of `bytes`, in order. A rest of less than a page is not among them.
    pub fn split(bytes: &'a [u8]) -> impl ExactSizeIterator<Item = Page<'a>> + Clone {
        let (pages, _rest) = bytes.as_chunks::<PAGE_BYTES>();
        pages.iter().map(Page)
    }

    /// The contents.
    pub const fn bytes(self) -> &'a [u8; PAGE_BYTES] {
        self.0
    }
}

impl fmt::Debug for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snp_numbers_are_those_of_the_uapi_header() {
        use kvm_bindings::*;
        let uapi = [
            KVM_SEV_SNP_PAGE_TYPE_NORMAL,
            KVM_SEV_SNP_PAGE_TYPE_ZERO,
            KVM_SEV_SNP_PAGE_TYPE_UNMEASURED,
            KVM_SEV_SNP_PAGE_TYPE_SECRETS,
            KVM_SEV_SNP_PAGE_TYPE_CPUID,
        ];
        assert_eq!(
            PageType::ALL.map(|page_type| u32::from(page_type.snp_abi())),
            uapi
        );
    }

    #[test]
    fn types_print_in_upper_case() {
        let names = PageType::ALL.map(|page_type| page_type.to_string());
        assert_eq!(names, ["NORMAL", "ZERO", "UNMEASURED", "SECRETS", "CPUID"]);
        assert_eq!(format!("{:>6}|", PageType::Zero), "  ZERO|");
    }

    #[test]
    fn a_page_never_prints_its_contents() {
        assert_eq!(format!("{:?}", Page::new(&[0x41; PAGE_BYTES])), "Page(..)");
    }

    #[test]
    fn split_yields_whole_pages_only() {
        let bytes = [[1_u8; PAGE_BYTES], [2; PAGE_BYTES]].concat();
        let firsts = |bytes| {
            Page::split(bytes)
                .map(|page| page.bytes()[0])
                .collect::<Vec<_>>()
        };
        assert_eq!(firsts(&bytes), [1, 2]);
        assert_eq!(firsts(&bytes[..2 * PAGE_BYTES - 1]), [1]);
        assert_eq!(firsts(&[]), []);
    }
}
