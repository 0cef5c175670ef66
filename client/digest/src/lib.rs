//! What firmware measures of a launch, computed from what is installed, and what tells parts of an image apart: pure functions, no I/O, no platform.
//!
//! | module     | one idea                                                                           |
//! |------------|------------------------------------------------------------------------------------|
//! | [`pieces`] | digests of an image's pieces, made from the hashes of its pages                    |
//! | [`snp`]    | the SEV-SNP launch digest: a chain over pages, and over the save area of each vCPU |
//! | [`tdx`]    | MRTD: one hash over the records of all pages                                       |
//! | [`vcpu`]   | what a vCPU's registers may hold when it begins                                    |
//! | [`vmsa`]   | the save area that KVM makes of a vCPU's registers, which the SNP digest ends with |
//!
//! The launch host keeps the digest of what it installed with this crate, and the client foretells with it what an image will end in: one
//! computation, so that the two cannot differ by themselves. What it is held against is in the tests: `sev-snp-measure`, the crates `sev` and
//! `igvm`, and the kernel model, which computes both digests anew.
//!
//! **Invariant:** a digest covers exactly what it was fed, in that order, and never goes back.
#![forbid(unsafe_code)]

pub mod pieces;
pub mod snp;
pub mod tdx;
pub mod vcpu;
pub mod vmsa;

use sha2::{Digest as _, Sha384};

/// Bytes of a page.
pub const PAGE_BYTES: usize = 4096;

/// Bytes of either digest.
pub const DIGEST_BYTES: usize = 48;

/// A launch digest.
pub type Value = [u8; DIGEST_BYTES];

/// How a page is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PageType {
    /// With its contents.
    Normal,
    /// As zeros.
    Zero,
    /// By its address.
    Unmeasured,
    /// By its address; only SNP has it.
    Secrets,
    /// By its address; only SNP has it.
    Cpuid,
}

static ZERO_PAGE: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// SHA-384 of 4096 zeros. Launch images are full of them, and comparing is many times as fast as hashing.
const ZERO_PAGE_SHA384: Value = [
    0xc0, 0xe5, 0x9a, 0x3e, 0x3f, 0xfb, 0xd3, 0xb5, 0xc7, 0x54, 0x28, 0xfb, 0x36, 0x43, 0x2f,
    0xac, //
    0xab, 0xc7, 0x45, 0x94, 0x42, 0x96, 0xff, 0x51, 0x5f, 0x73, 0x7c, 0x4f, 0xef, 0x4e, 0xfc,
    0x64, //
    0x58, 0x68, 0x09, 0xf7, 0xa1, 0x6f, 0x56, 0x35, 0x4a, 0x1e, 0xae, 0xcf, 0x2a, 0xa8, 0xd7, 0x74,
];

/// SHA-384 of a page, 4096 bytes.
fn page_sha384(page: &[u8; PAGE_BYTES]) -> Value {
    if *page == ZERO_PAGE {
        ZERO_PAGE_SHA384
    } else {
        Sha384::digest(page).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constant_is_the_hash_of_a_zero_page() {
        let computed: Value = Sha384::digest(ZERO_PAGE).into();
        assert_eq!(ZERO_PAGE_SHA384, computed);
    }
}
