//! The SEV-SNP launch digest of a sequence of pages, as the firmware computes it.
//!
//! ```text
//! LD := 48 zero bytes
//! for each installed page:  LD := SHA-384(PAGE_INFO), which begins with LD and the page's contents hash
//! for each vCPU:            the same with its save area, when the launch finishes
//! ```
//!
//! KVM issues one SNP_LAUNCH_UPDATE firmware command for each 4 KiB page, of UNMEASURED extents too
//! (`sev_gmem_post_populate()`, arch/x86/kvm/svm/sev.c, since Linux 6.11), so the digest has one step a page whatever the
//! extents. It depends on the order, which is the ledger's. PAGE_INFO is described at SNP_LAUNCH_UPDATE in the SEV-SNP
//! firmware ABI (AMD 56860).
//!
//! **Invariant:** holds 48 bytes, never page contents; never goes back.

use std::fmt;

use sha2::{Digest as _, Sha384};

use crate::{DIGEST_BYTES, PAGE_BYTES, PageType, Value, ZERO_PAGE_SHA384, page_sha384};

/// Length of PAGE_INFO in bytes, which it states itself.
const PAGE_INFO_BYTES: u8 = 0x70;

/// PAGE_TYPE_VMSA. No page type of the API: KVM measures the vCPUs itself, when the launch finishes.
const VMSA: u8 = 2;

/// Where KVM says that every save area is (`snp_launch_update_vmsa()`, arch/x86/kvm/svm/sev.c), whatever an image says.
pub const VMSA_GPA: u64 = 0xffff_ffff_f000;

/// The contents field of pages whose contents are not measured.
const NOT_MEASURED: Value = [0; DIGEST_BYTES];

/// The launch digest of the pages it was fed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LaunchDigest {
    value: Value,
}

impl LaunchDigest {
    /// The digest of a launch without pages: zeros.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            value: [0; DIGEST_BYTES],
        }
    }

    /// Adds one page, the next in order of installation; `gpa` in bytes.
    ///
    /// `contents` are the page's bytes, `None` for zeros. Only those of NORMAL pages matter: of every other type the
    /// digest has the GPA and the type alone, so `None` will do whatever the page holds.
    pub fn extend(&mut self, gpa: u64, page_type: PageType, contents: Option<&[u8; PAGE_BYTES]>) {
        let (number, contents) = match page_type {
            PageType::Normal => (1, contents.map_or(ZERO_PAGE_SHA384, page_sha384)),
            PageType::Zero => (3, NOT_MEASURED),
            PageType::Unmeasured => (4, NOT_MEASURED),
            PageType::Secrets => (5, NOT_MEASURED),
            PageType::Cpuid => (6, NOT_MEASURED),
        };
        self.step(gpa, number, contents);
    }

    /// Adds one vCPU's save area (see [`vmsa`](crate::vmsa)). They come after all pages, in order of vCPU index.
    pub fn extend_vmsa(&mut self, page: &[u8; PAGE_BYTES]) {
        self.extend_vmsa_hash(&vmsa_hash(page));
    }

    /// As [`extend_vmsa`](Self::extend_vmsa), for a save area of which the [hash](vmsa_hash) is known: it stays the same while pages come.
    pub fn extend_vmsa_hash(&mut self, hash: &Value) {
        self.step(VMSA_GPA, VMSA, *hash);
    }

    /// The digest so far.
    #[must_use]
    pub const fn value(&self) -> Value {
        self.value
    }

    fn step(&mut self, gpa: u64, page_type: u8, contents: Value) {
        let mut hash = Sha384::new();
        hash.update(self.value);
        hash.update(contents);
        // Length as u16, page type; then IMI flag, permissions of VMPL 3 to 1 and a reserved byte, which KVM leaves zero.
        hash.update([PAGE_INFO_BYTES, 0, page_type, 0, 0, 0, 0, 0]);
        hash.update(gpa.to_le_bytes());
        self.value = hash.finalize().into();
    }
}

/// What the digest has of a save area's contents: SHA-384.
#[must_use]
pub fn vmsa_hash(page: &[u8; PAGE_BYTES]) -> Value {
    page_sha384(page)
}

impl Default for LaunchDigest {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for LaunchDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LaunchDigest(")?;
        self.value
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, ")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ZERO_PAGE;

    // Known answers of kernel.md section 8.1, from a calculator that reproduces sev-snp-measure's.
    const NORMAL_ZEROS_AT_0: &str = "9d13634b6014bb21cf059b2dc694e7bff01a8a7137041100cd2b695f3d10fb687267b97808b27f8f471d943bc6f53a20";
    const ZERO_AT_0: &str = "70c0ecaab9608f14ebf8ac6f0f07bcd8728f4e2ab30382b539b4de4de904ca9f8ebdf4b2cd3cd84dd996bd55dd794676";
    const UNMEASURED_AT_0: &str = "ed501ced343b88df8d4f114dc336e76fa53d3ad6ef71dab22a38755569189d2844af45f162ec25b45beefc8ea308cba7";
    const SECRETS_AT_0X1000: &str = "ede71fa5ddc72c3de70c6ff1149b8ecb6ef08b74b1d3a72c2cece10bd140c06a6181343d33def7db6cc0da1ff9ba4805";
    const CPUID_AT_0X2000: &str = "8247f0b6bd9552be4f11744b909bfba21d50069716443fef6ee71d4da846b8b21fdb2d0b23245bd2886b91b95f8b71d8";
    const VMSA_ZEROS: &str = "f4577da9b848673216afc3909e5ea7aa80150dda441526874cd2b0282894709b46484c13a07221aefbedfff667199259";
    const NORMAL_AT_0_THEN_ZERO_AT_0X1000: &str = "3bb77aec4f0d90c147b6b7884b6bd5741994d2575305f89639c95186690d949261186702ef51f2fa7c0dd4c90f03ebfd";
    const ZERO_AT_0X1000_THEN_NORMAL_AT_0: &str = "01df08676606c46d74c6e01f0392457b23fe411ad8dac289cc2e74e4e111ce60723012c8fcb7f95e4568aa7514800c5c";

    fn digest_of(pages: &[(u64, PageType, Option<&[u8; PAGE_BYTES]>)]) -> String {
        let mut digest = LaunchDigest::new();
        for (gpa, page_type, contents) in pages {
            digest.extend(*gpa, *page_type, *contents);
        }
        hex(&digest.value())
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn one_page_of_each_type_gives_the_known_answer() {
        assert_eq!(
            digest_of(&[(0, PageType::Normal, Some(&ZERO_PAGE))]),
            NORMAL_ZEROS_AT_0
        );
        assert_eq!(digest_of(&[(0, PageType::Zero, None)]), ZERO_AT_0);
        assert_eq!(
            digest_of(&[(0, PageType::Unmeasured, None)]),
            UNMEASURED_AT_0
        );
        assert_eq!(
            digest_of(&[(0x1000, PageType::Secrets, None)]),
            SECRETS_AT_0X1000
        );
        assert_eq!(
            digest_of(&[(0x2000, PageType::Cpuid, None)]),
            CPUID_AT_0X2000
        );
    }

    #[test]
    fn a_zero_vmsa_gives_the_known_answer() {
        let mut digest = LaunchDigest::new();
        digest.extend_vmsa(&ZERO_PAGE);
        assert_eq!(hex(&digest.value()), VMSA_ZEROS);
    }

    #[test]
    fn order_matters_as_in_the_known_answers() {
        let normal = (0, PageType::Normal, Some(&ZERO_PAGE));
        let zero = (0x1000, PageType::Zero, None);
        assert_eq!(digest_of(&[normal, zero]), NORMAL_AT_0_THEN_ZERO_AT_0X1000);
        assert_eq!(digest_of(&[zero, normal]), ZERO_AT_0X1000_THEN_NORMAL_AT_0);
    }

    #[test]
    fn a_zero_run_is_pages_of_zeros() {
        assert_eq!(digest_of(&[(0, PageType::Normal, None)]), NORMAL_ZEROS_AT_0);
    }

    #[test]
    fn contents_count_for_normal_pages_only() {
        let page = [0x5a; PAGE_BYTES];
        for page_type in [
            PageType::Zero,
            PageType::Unmeasured,
            PageType::Secrets,
            PageType::Cpuid,
        ] {
            assert_eq!(
                digest_of(&[(0, page_type, Some(&page))]),
                digest_of(&[(0, page_type, None)]),
                "{page_type:?}"
            );
        }
        assert_ne!(
            digest_of(&[(0, PageType::Normal, Some(&page))]),
            NORMAL_ZEROS_AT_0
        );
    }
}
